//! Test sends: deliveries that are tried once, the same road as every other, and whose outcome somebody waits for.
//!
//! Writes:       postrider.deliveries        (key: endpoint id; kind `test`)
//! Reads:        postrider.delivery-events   (the message's partition, from its end on)

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use postrider_domain::{
    Attempt, Delivery, DeliveryEvent, DeliveryKind, EndpointId, Event, EventId, Method, Priority, Routing, Run,
    SourceCoordinates, SubscriptionId, TenantId, Timestamp,
    endpoint::BodyStyle,
    envelope::render,
    filter::EventView,
    mapping::{Mapped, Mapping, MappingError},
    message_id::{event_id, message_id},
};
use postrider_kafka::{
    CursorEvent, FetchSize, KafkaConfig, Layout, LogRecord, Outgoing, PartitionCursor, PartitionReader, Producer,
    StartAt, routing_to_headers,
};

/// The subscription of a test of an event type that no subscription wants.
const NO_SUBSCRIPTION: &str = "sub_00000000000000000000000000";
/// The source that the event of a test comes from, as far as its id and its envelope say.
const SOURCE: &str = "test";
/// How many tests are under way at most: each reads from Kafka by itself.
const MAX_TESTS: usize = 16;
/// How many of those are one tenant's at most: an endpoint that hangs keeps a test under way for as long as its time-out.
const MAX_TESTS_OF_TENANT: usize = 4;

/// An event that is made up for a test.
#[derive(Debug, Clone)]
pub struct TestEvent {
    /// Its id: another for each test.
    pub id: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its type.
    pub event_type: String,
    /// Its payload, JSON.
    pub data: Bytes,
    /// When it happened.
    pub time: Timestamp,
}

/// The delivery of a made-up event: with the mapping of `subscription`, if there is one, else in the endpoint's style.
pub fn compose(
    test: TestEvent,
    style: BodyStyle,
    subscription: Option<(SubscriptionId, Option<&Mapping>)>,
) -> Result<Delivery, MappingError> {
    let event = Event {
        id: event_id(SOURCE, None, &test.id),
        producer_id: Some(test.id),
        source: SOURCE.to_owned(),
        tenant: test.tenant,
        event_type: test.event_type,
        time: test.time,
        subject: None,
        ordering_key: None,
        data: test.data,
        previous: None,
        content_type: "application/json".to_owned(),
        coordinates: SourceCoordinates { topic: SOURCE.into(), partition: 0, offset: -1 },
    };
    let (subscription, mapping) = subscription.unwrap_or_else(|| (SubscriptionId::from_trusted(NO_SUBSCRIPTION), None));
    let rendered = render(&event, style);
    let mut delivery = Delivery {
        message_id: message_id(&event.id, &test.endpoint),
        run: Run::LIVE,
        kind: DeliveryKind::Test,
        event_id: EventId::clone(&event.id),
        tenant: event.tenant.clone(),
        endpoint: test.endpoint,
        subscription,
        event_type: event.event_type.clone(),
        ordering_key: None,
        source: event.coordinates.clone(),
        content_type: rendered.content_type,
        headers: rendered.headers,
        body: rendered.body,
        method: Method::Post,
        path_suffix: String::new(),
    };
    if let Some(mapping) = mapping {
        let Mapped { body, headers, path, method } = mapping.render(&EventView::new(&event))?;
        if let Some(body) = body {
            delivery.body = body;
            delivery.headers.clear();
            "application/json".clone_into(&mut delivery.content_type);
        }
        delivery.headers.extend(headers);
        delivery.method = method.unwrap_or_default();
        delivery.path_suffix = path.unwrap_or_default();
    }
    Ok(delivery)
}

/// Why a test has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TestSendError {
    /// Too many others are under way here.
    #[error("{0} tests are under way in this process: try again in a moment")]
    TooMany(usize),
    /// It can't be written now.
    #[error("the test can't be sent now: {0}")]
    Unavailable(String),
    /// Nothing was heard of it in time.
    #[error(
        "nothing was heard of the test within {} s: is a process with the role dispatcher running? It may be sent yet",
        .0.as_secs()
    )]
    NoOutcome(Duration),
}

/// Sends tests.
pub trait TestSender: Send + Sync {
    /// Sends a delivery of kind `test`, and answers what came of it within `patience`.
    fn send(&self, delivery: Delivery, patience: Duration) -> BoxFuture<'_, Result<DeliveryEvent, TestSendError>>;
}

/// Sends tests over Kafka, as everything is.
pub struct KafkaTestSender {
    kafka: KafkaConfig,
    layout: Layout,
    producer: Producer,
    under_way: UnderWay,
}

/// The tests that are under way.
#[derive(Debug, Default)]
struct UnderWay(Mutex<HashMap<TenantId, usize>>);

/// One of them, until it is dropped.
struct Place<'a> {
    under_way: &'a UnderWay,
    tenant: TenantId,
}

impl UnderWay {
    /// A place for another test of `tenant`, if there is room.
    fn begin(&self, tenant: &TenantId) -> Result<Place<'_>, TestSendError> {
        let mut tenants = self.0.lock();
        if tenants.values().sum::<usize>() >= MAX_TESTS {
            return Err(TestSendError::TooMany(MAX_TESTS));
        }
        let own = tenants.entry(tenant.clone()).or_default();
        if *own >= MAX_TESTS_OF_TENANT {
            return Err(TestSendError::TooMany(MAX_TESTS_OF_TENANT));
        }
        *own += 1;
        Ok(Place { under_way: self, tenant: tenant.clone() })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut tenants = self.under_way.0.lock();
        if let Entry::Occupied(mut own) = tenants.entry(self.tenant.clone()) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

impl KafkaTestSender {
    /// Writes to the topics that `layout` has in use.
    pub fn new(kafka: KafkaConfig, layout: Layout, producer: Producer) -> Self {
        Self { kafka, layout, producer, under_way: UnderWay::default() }
    }

    async fn send_and_wait(&self, delivery: Delivery, patience: Duration) -> Result<DeliveryEvent, TestSendError> {
        let _place = self.under_way.begin(&delivery.tenant)?;
        let unavailable = |reason: String| TestSendError::Unavailable(reason);
        match self.layout.was_lately_in_use().await {
            Ok(true) => {}
            Ok(false) => return Err(unavailable("the topics are being resized".to_owned())),
            Err(error) => return Err(unavailable(error.to_string())),
        }
        let outcome = async {
            // Before it is sent: its outcome is behind what is the end now.
            let log = self.end_of_log(&delivery).await.map_err(unavailable)?;
            self.write(&delivery).await.map_err(unavailable)?;
            self.outcome_in(log, &delivery).await.map_err(unavailable)
        };
        tokio::time::timeout(patience, outcome).await.unwrap_or(Err(TestSendError::NoOutcome(patience)))
    }

    /// The place in the log behind which the delivery's outcome will be.
    async fn end_of_log(&self, delivery: &Delivery) -> Result<PartitionCursor, String> {
        let topic = self.layout.topics().delivery_events();
        let reader = PartitionReader::start_committed(&self.kafka, &topic, FetchSize::Small)?;
        let cursor = reader.open(self.layout.partition(&topic, delivery.message_id.as_str()), StartAt::End);
        let (_, end) = cursor.watermarks().await?;
        cursor.seek(end);
        Ok(cursor)
    }

    async fn write(&self, delivery: &Delivery) -> Result<(), String> {
        let routing = Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: self.producer.clock().now(),
            version: None,
            generation: 0,
            priority: Priority::High,
            traceparent: None,
        };
        let topic: Arc<str> = self.layout.topics().deliveries().into();
        let record = Outgoing {
            partition: Some(self.layout.partition(&topic, delivery.endpoint.as_str())),
            topic,
            key: Bytes::copy_from_slice(delivery.endpoint.as_str().as_bytes()),
            value: Some(self.layout.codec().encode(delivery)),
            headers: routing_to_headers(&routing),
        };
        self.producer.send(&record).await.map(drop).map_err(|error| error.to_string())
    }

    /// The first thing that the log tells of the delivery: it is tried once, so there is no other.
    async fn outcome_in(&self, mut log: PartitionCursor, delivery: &Delivery) -> Result<DeliveryEvent, String> {
        loop {
            match log.next().await {
                Some(CursorEvent::Record(record)) => {
                    let Some(value) =
                        record.value.as_ref().filter(|_| record.key_str() == Some(delivery.message_id.as_str()))
                    else {
                        continue;
                    };
                    match LogRecord::decode(self.layout.codec(), value) {
                        Ok(LogRecord::Delivery(event)) if event.kind == DeliveryKind::Test => return Ok(event),
                        Ok(_) => {}
                        Err(error) => return Err(format!("its outcome can't be read: {error}")),
                    }
                }
                Some(CursorEvent::EndOfPartition { .. } | CursorEvent::OutOfRange { .. }) => {}
                None => return Err("the reader of the log ended".to_owned()),
            }
        }
    }
}

impl TestSender for KafkaTestSender {
    fn send(&self, delivery: Delivery, patience: Duration) -> BoxFuture<'_, Result<DeliveryEvent, TestSendError>> {
        self.send_and_wait(delivery, patience).boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn test() -> TestEvent {
        TestEvent {
            id: "evt_1".to_owned(),
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted("ep_1"),
            event_type: "order.created".to_owned(),
            data: Bytes::from_static(b"{\"total\":1}"),
            time: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    #[test]
    fn a_test_is_sent_in_the_endpoints_style_once() {
        let delivery = compose(test(), BodyStyle::Envelope, None).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!((&body["type"], &body["data"]), (&json!("order.created"), &json!({ "total": 1 })));
        assert_eq!((delivery.kind, delivery.run), (DeliveryKind::Test, Run::LIVE));
        let other = compose(TestEvent { id: "evt_2".to_owned(), ..test() }, BodyStyle::Raw, None).unwrap();
        assert_ne!(delivery.message_id, other.message_id, "each test is a message of its own");
        assert_eq!(other.body, test().data);
    }

    #[test]
    fn no_tenant_takes_all_the_room_there_is_for_tests() {
        let under_way = UnderWay::default();
        let begin = |tenant: &str| under_way.begin(&TenantId::from_trusted(tenant));
        let mut noisy: Vec<_> = (0..MAX_TESTS_OF_TENANT).filter_map(|_| begin("ten_noisy").ok()).collect();
        assert_eq!(begin("ten_noisy").err(), Some(TestSendError::TooMany(MAX_TESTS_OF_TENANT)));
        let others: Vec<_> = (0..MAX_TESTS).filter_map(|number| begin(&format!("ten_{number}")).ok()).collect();
        assert_eq!(noisy.len() + others.len(), MAX_TESTS);
        noisy.pop();
        assert!(begin("ten_another").is_ok());
        drop((noisy, others));
        assert!(under_way.0.lock().is_empty());
    }

    #[test]
    fn a_test_is_mapped_as_its_subscription_maps() {
        let subscription = SubscriptionId::from_trusted("sub_1");
        let mapped = |mapping: serde_json::Value| {
            let mapping = Mapping::from_json(&mapping).unwrap();
            compose(test(), BodyStyle::CloudeventsBinary, Some((subscription.clone(), Some(&mapping))))
        };
        let delivery =
            mapped(json!({ "method": "PUT", "path": ["orders"], "body": { "sum": "$.data.total" } })).unwrap();
        assert_eq!((&delivery.body[..], delivery.method), (&b"{\"sum\":1}"[..], Method::Put));
        assert_eq!((delivery.path_suffix.as_str(), delivery.headers.len()), ("orders", 0));
        assert_eq!(delivery.subscription, subscription);
        assert!(mapped(json!({ "body": { "sum": "$.data.missing" } })).is_err());
    }
}
