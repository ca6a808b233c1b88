use bytes::Bytes;
use postrider_domain::{
    Attempt, DeliveryEvent, DeliveryEventBody, DeliveryKind, EndpointId, EventId, MessageId, Method, Priority, Run,
    SourceCoordinates, SubscriptionId, TenantId, delivery::NotBefore, delivery_event::DeadLetter,
};
use postrider_kafka::{Headers, routing_to_headers};

use super::*;
use crate::sink::FakeSink;

const TIER: Duration = Duration::from_secs(5);
const PAYLOAD: &[u8] = b"not looked into";

fn forwarder(sink: &FakeSink) -> Arc<Forwarder<FakeSink>> {
    let (topics, tiers) = (Topics::new("t"), Tiers::default());
    let layout = Layout::for_test(&topics, &tiers, 6);
    Arc::new(Forwarder::new(&topics, layout, tiers, sink.clone()))
}

/// A record appended now whose delivery is due `due_in` from now, of a delay of that length.
fn record(offset: i64, due_in: Duration, now: Timestamp) -> Record {
    let routing = Routing {
        attempt: Attempt::FIRST.next(),
        first_attempt_at: Some(now),
        not_before: Some(NotBefore { at: now + due_in, whole_delay: due_in }),
        matched_at: now,
        version: None,
        generation: 0,
        priority: Priority::Normal,
        traceparent: None,
    };
    Record {
        topic: "t.retry.5s".into(),
        partition: 0,
        offset,
        timestamp: now,
        key: Some(Bytes::from_static(b"ep_1")),
        value: Some(Bytes::from_static(PAYLOAD)),
        headers: routing_to_headers(&routing),
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_is_forwarded_when_its_tier_is_over_and_not_before() {
    let sink = FakeSink::new();
    let (stream, test) = PartitionStream::for_test("t.retry.5s", 0, 10);
    tokio::spawn(serve(forwarder(&sink), TIER, stream));
    let record = record(7, TIER, sink.clock().now());
    test.send(record.clone()).await;
    seconds(4).await;
    assert_eq!(sink.handed_over(), 0);
    seconds(2).await;
    let forwarded = sink.acknowledged_for("t.deliveries");
    assert_eq!(forwarded.len(), 1);
    assert_eq!((&forwarded[0].value, &forwarded[0].headers), (&record.value, &record.headers));
    assert_eq!(forwarded[0].key, "ep_1");
    assert_eq!(test.committable(), Some(8));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_longer_delay_goes_to_the_next_tier() {
    let sink = FakeSink::new();
    let (stream, test) = PartitionStream::for_test("t.retry.5s", 0, 10);
    tokio::spawn(serve(forwarder(&sink), TIER, stream));
    test.send(record(0, Duration::from_secs(35), sink.clock().now())).await;
    seconds(6).await;
    assert_eq!(sink.acknowledged_for("t.retry.30s").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_settled_before_it_is_acknowledged() {
    let sink = FakeSink::new();
    sink.hold(true);
    let (stream, test) = PartitionStream::for_test("t.retry.5s", 0, 10);
    tokio::spawn(serve(forwarder(&sink), TIER, stream));
    for offset in 0..3 {
        test.send(record(offset, TIER, sink.clock().now())).await;
    }
    seconds(6).await;
    assert_eq!((sink.handed_over(), test.committable()), (3, Some(0)));
    sink.hold(false);
    seconds(1).await;
    assert_eq!(test.committable(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_go_of_what_waits_and_finishes_what_was_begun() {
    let sink = FakeSink::new();
    sink.hold(true);
    let (stream, test) = PartitionStream::for_test("t.retry.5s", 0, 10);
    let served = tokio::spawn(serve(forwarder(&sink), TIER, stream));
    test.send(record(0, TIER, sink.clock().now())).await;
    seconds(4).await;
    test.send(record(1, TIER, sink.clock().now())).await;
    test.send(record(2, TIER, sink.clock().now())).await;
    seconds(2).await;
    test.stopped.cancel();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(test.outstanding(), 1, "the one whose acknowledgement is awaited");
    sink.hold(false);
    served.await.unwrap().unwrap();
    assert_eq!((test.outstanding(), test.committable()), (0, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_record_without_routing_is_rejected_and_the_partition_goes_on() {
    let sink = FakeSink::new();
    let (stream, test) = PartitionStream::for_test("t.retry.5s", 0, 10);
    tokio::spawn(serve(forwarder(&sink), TIER, stream));
    let now = sink.clock().now();
    test.send(Record { headers: Headers::new(), ..record(0, TIER, now) }).await;
    test.send(record(1, TIER, now)).await;
    seconds(6).await;
    let rejected = sink.acknowledged_for("t.rejected");
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].headers.get_str("pr-reason"), Some("corrupt"));
    assert_eq!(sink.acknowledged_for("t.deliveries").len(), 1);
    assert_eq!(test.committable(), Some(2));
}

fn delivery() -> Delivery {
    Delivery {
        message_id: MessageId::from_trusted("msg_1"),
        run: Run::LIVE,
        kind: DeliveryKind::Live,
        event_id: EventId::from_trusted("evt_1"),
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted("ep_1"),
        subscription: SubscriptionId::from_trusted("sub_1"),
        event_type: "order.created".to_owned(),
        ordering_key: None,
        source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 1 },
        content_type: "application/json".to_owned(),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
        method: Method::Post,
        path_suffix: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_its_next_topic_refuses_is_dead_lettered_with_its_event() {
    let sink = FakeSink::new();
    sink.refuse_from("t.deliveries", 1);
    let (stream, test) = PartitionStream::for_test("t.retry.5s", 0, 10);
    let forwarder = forwarder(&sink);
    let codec = forwarder.layout.codec().clone();
    tokio::spawn(serve(forwarder, TIER, stream));
    let appended = sink.clock().now();
    test.send(Record { value: Some(codec.encode(&delivery())), ..record(0, TIER, appended) }).await;
    test.send(record(1, TIER, appended)).await;
    seconds(6).await;
    let letters = sink.acknowledged_for("t.dlq");
    let letter: DeadLetter = codec.decode(letters[0].value.as_ref().unwrap()).unwrap();
    assert_eq!((letter.error.as_str(), letter.attempts, letter.delivery.body.len()), ("payload_too_large", 1, 0));
    assert!(letter.at.since(appended) >= TIER);
    let event: DeliveryEvent =
        codec.decode(sink.acknowledged_for("t.delivery-events")[0].value.as_ref().unwrap()).unwrap();
    assert!(matches!(event.body, DeliveryEventBody::DeadLettered(_)));
    // What can't be read either has nobody to tell: it is rejected.
    assert_eq!((letters.len(), sink.acknowledged_for("t.rejected").len()), (1, 1));
    assert_eq!(test.committable(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_for_good_ends_the_stage_and_settles_nothing() {
    let sink = FakeSink::new();
    sink.fail_fatally("t.deliveries");
    let (stream, test) = PartitionStream::for_test("t.retry.5s", 0, 10);
    let served = tokio::spawn(serve(forwarder(&sink), TIER, stream));
    test.send(record(0, TIER, sink.clock().now())).await;
    assert!(matches!(served.await.unwrap(), Err(StageError::Produce(ProduceError::Fatal { .. }))));
    assert_eq!(test.committable(), Some(0));
}
