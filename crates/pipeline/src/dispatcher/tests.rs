//! The dispatcher's behaviours, one a test, on paused time with fakes at its edges.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_domain::{
    Attempt, ConfigBody, Delivery, DeliveryEvent, DeliveryEventBody, DeliveryKind, DirectoryVersion, Endpoint,
    EndpointId, ErrorClass, EventId, MessageId, Outcome, Routing, Run, SecretId, SourceCoordinates, SubscriptionId,
    TenantId, Timestamp,
    delivery_event::{AfterAttempt, DeadLetter, ParkReason},
    egress::EgressPolicy,
    endpoint::{EndpointSecret, EndpointSettings, purpose},
    outcome::Jitter,
    seal::{KeyRing, SealedAt},
    signing::SigningSecret,
    tier::Tiers,
};
use postrider_kafka::{
    Layout, Outgoing, PartitionStream, Readiness, Record, Sink as _, TestPartition, Topics, routing_from_headers,
    routing_to_headers,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::Semaphore;

use super::{
    attempt::Attempts,
    lane::LaneLimits,
    partition::{Partition, Shared},
    settle::Settler,
};
use crate::{
    directory::Directory,
    egress::{Answer, Courier, Request},
    sink::FakeSink,
    stage::StageError,
};

const TENANT: &str = "ten_1";
const LIMITS: LaneLimits = LaneLimits { max_queued: 4, concurrency: 1, park_after: Duration::from_secs(2) };

/// Answers by host; remembers what it was asked to send.
#[derive(Clone, Default)]
struct FakeCourier {
    answers: Arc<Mutex<HashMap<String, (Duration, u16)>>>,
    sent: Arc<Mutex<Vec<Request>>>,
}

impl FakeCourier {
    fn answer(&self, host: &str, after: Duration, status: u16) {
        self.answers.lock().insert(host.to_owned(), (after, status));
    }

    fn hosts(&self) -> Vec<String> {
        self.sent.lock().iter().filter_map(|request| request.url.host_str().map(str::to_owned)).collect()
    }
}

impl Courier for FakeCourier {
    async fn deliver(&self, request: Request, _now: Timestamp) -> Answer {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let deadline = request.deadline;
        self.sent.lock().push(request);
        let (after, status) = self.answers.lock().get(&host).copied().unwrap_or((Duration::from_millis(5), 200));
        if tokio::time::timeout(deadline, tokio::time::sleep(after)).await.is_err() {
            return Answer::failed(ErrorClass::Timeout, "late");
        }
        let outcome = Outcome::Answered { status, retry_after: None };
        Answer { outcome, error_message: None, excerpt: Some("body".to_owned()) }
    }
}

struct Bench {
    sink: FakeSink,
    courier: FakeCourier,
    topics: Topics,
    layout: Layout,
    partition: TestPartition,
    running: tokio::task::JoinHandle<Result<(), StageError>>,
    next_offset: i64,
}

fn keys() -> KeyRing {
    KeyRing::parse(&KeyRing::generate_text(&mut StdRng::seed_from_u64(1))).unwrap()
}

/// An endpoint at `https://<name>.example`, tried at most twice.
fn endpoint(name: &str, enabled: bool) -> Endpoint {
    let mut rng = StdRng::seed_from_u64(2);
    let (tenant, id) = (TenantId::from_trusted(TENANT), EndpointId::from_trusted(name));
    let entity = (&id).into();
    let seal = |purpose: &str, text: &str| {
        let at = SealedAt { tenant: &tenant, entity: &entity, purpose, version: 1 };
        keys().seal(text.as_bytes(), at, &mut StdRng::seed_from_u64(3))
    };
    let secret = SigningSecret::generate(&mut rng).to_text();
    Endpoint {
        url: seal(purpose::URL, &format!("https://{name}.example/hook")),
        secrets: vec![EndpointSecret {
            id: SecretId::from_trusted("sec_1"),
            sealed: seal(purpose::SECRET, &secret),
            expires_at: None,
        }],
        id,
        tenant,
        origin: format!("https://{name}.example"),
        enabled,
        enabled_version: 1,
        timeout_ms: 60_000,
        retry: serde_json::from_str(r#"{"delays_seconds":[30]}"#).unwrap(),
        settings: EndpointSettings::default(),
    }
}

impl Bench {
    fn new(endpoints: Vec<Endpoint>) -> Self {
        let (sink, courier) = (FakeSink::new(), FakeCourier::default());
        let (topics, tiers) = (Topics::new("t"), Tiers::default());
        let layout = Layout::for_test(&topics, &tiers, 3);
        let bodies = endpoints.into_iter().map(|endpoint| ConfigBody::Endpoint(Box::new(endpoint))).collect();
        let shared = Shared {
            attempts: Attempts {
                courier: courier.clone(),
                settler: Settler::new(sink.clone(), layout.clone(), &topics, &tiers, 8),
                tiers: Arc::new(tiers),
                clock: sink.clock(),
                jitter: || Jitter(0.5),
            },
            directory: Directory::with(bodies),
            codec: layout.codec().clone(),
            keys: keys(),
            policy: EgressPolicy::default(),
            limits: LIMITS,
            memory: Arc::new(Semaphore::new(1_000)),
            readiness: Arc::new(Readiness::new().register("dispatcher")),
        };
        let (stream, partition) = PartitionStream::for_test(&topics.deliveries(), 0, 100);
        let running = tokio::spawn(Partition::new(Arc::new(shared), stream).run());
        Self { sink, courier, topics, layout, partition, running, next_offset: 0 }
    }

    fn routing(&self) -> Routing {
        Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: self.sink.clock().now(),
            version: Some(DirectoryVersion { epoch: 1, seq: 1 }),
            generation: 0,
            traceparent: None,
        }
    }

    async fn deliver(&mut self, endpoint: &str, routing: Routing) {
        let delivery = Delivery {
            message_id: MessageId::from_trusted(format!("msg_{}", self.next_offset)),
            run: Run::LIVE,
            kind: DeliveryKind::Live,
            event_id: EventId::from_trusted("e"),
            tenant: TenantId::from_trusted(TENANT),
            endpoint: EndpointId::from_trusted(endpoint),
            subscription: SubscriptionId::from_trusted("sub_1"),
            event_type: "order.created".to_owned(),
            ordering_key: None,
            source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: self.next_offset },
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
        };
        let value = self.layout.codec().encode(&delivery);
        self.send(value, routing_to_headers(&routing)).await;
    }

    async fn send(&mut self, value: Bytes, headers: postrider_kafka::Headers) {
        let record = Record {
            topic: self.topics.deliveries().into(),
            partition: 0,
            offset: self.next_offset,
            timestamp: self.sink.clock().now(),
            key: None,
            value: Some(value),
            headers,
        };
        self.next_offset += 1;
        self.partition.send(record).await;
    }

    fn events(&self) -> Vec<DeliveryEvent> {
        let written = self.sink.acknowledged_for(&self.topics.delivery_events());
        written.iter().map(|event| self.layout.codec().decode(event.value.as_ref().unwrap()).unwrap()).collect()
    }

    fn tier(&self, name: &str) -> Vec<Outgoing> {
        self.sink.acknowledged_for(&format!("t.retry.{name}"))
    }

    fn parked(&self) -> Vec<ParkReason> {
        let reason = |event: DeliveryEvent| match event.body {
            DeliveryEventBody::Parked(parked) => Some(parked.reason),
            _ => None,
        };
        self.events().into_iter().filter_map(reason).collect()
    }
}

/// Lets paused time pass and everything that is due happen.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_success_is_signed_logged_and_settled() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    let sent = bench.courier.sent.lock().clone();
    let names: Vec<&str> = sent[0].headers.iter().map(|(name, _)| *name).collect();
    assert_eq!((sent.len(), names), (1, vec!["webhook-id", "webhook-timestamp", "webhook-signature"]));
    let events = bench.events();
    let DeliveryEventBody::Attempted(attempted) = &events[0].body else { panic!("{events:?}") };
    assert_eq!((attempted.next, attempted.status), (AfterAttempt::Delivered, Some(200)));
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_settled_before_its_event_is_acknowledged() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    bench.sink.hold(true);
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (1, Some(0)));
    bench.sink.hold(false);
    pass(Duration::from_millis(100)).await;
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_log_stops_sending_within_the_bound() {
    let mut bench = Bench::new((0..20).map(|n| endpoint(&format!("ep_{n}"), true)).collect());
    bench.sink.hold(true);
    for round in 0..4 {
        for n in 0..20 {
            bench.deliver(&format!("ep_{n}"), bench.routing()).await;
        }
        pass(Duration::from_millis(100 + round)).await;
    }
    // Eight may be in doubt, and what was in flight when the bound was reached is one a lane at most.
    assert!(bench.courier.hosts().len() <= 28, "{}", bench.courier.hosts().len());
    bench.sink.hold(false);
    pass(Duration::from_secs(5)).await;
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (80, Some(80)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_goes_to_its_tier_with_the_next_attempt_and_the_value_untouched() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    bench.courier.answer("ep_a.example", Duration::from_millis(5), 500);
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    let retried = bench.tier("30s").remove(0);
    let routing = routing_from_headers(&retried.headers).unwrap();
    assert_eq!((routing.attempt.get(), routing.first_attempt_at.is_some()), (2, true));
    let delivery: Delivery = bench.layout.codec().decode(&retried.value.unwrap()).unwrap();
    assert_eq!(delivery.message_id.as_str(), "msg_0");
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_goes_to_the_dead_letter_queue() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    bench.courier.answer("ep_a.example", Duration::from_millis(5), 503);
    let routing = Routing { attempt: Attempt::FIRST.next(), ..bench.routing() };
    bench.deliver("ep_a", routing).await;
    pass(Duration::from_millis(100)).await;
    let letters = bench.sink.acknowledged_for(&bench.topics.dlq());
    let letter: DeadLetter = bench.layout.codec().decode(letters[0].value.as_ref().unwrap()).unwrap();
    assert_eq!((letter.attempts, letter.error, letter.last_status), (2, ErrorClass::HttpServerError, Some(503)));
    assert_eq!(letter.response_excerpt.as_deref(), Some("body"));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_endpoint_parks_what_follows_and_its_neighbour_goes_on() {
    let mut bench = Bench::new(vec![endpoint("ep_slow", true), endpoint("ep_fast", true)]);
    bench.courier.answer("ep_slow.example", Duration::from_secs(50), 200);
    bench.deliver("ep_slow", bench.routing()).await;
    bench.deliver("ep_slow", bench.routing()).await;
    pass(Duration::from_secs(3)).await;
    bench.deliver("ep_slow", bench.routing()).await;
    bench.deliver("ep_fast", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    assert_eq!(bench.courier.hosts(), ["ep_slow.example", "ep_fast.example"]);
    assert_eq!(bench.parked(), [ParkReason::LaneFull]);
    let parked = bench.tier("30s").remove(0);
    assert_eq!(routing_from_headers(&parked.headers).unwrap().attempt, Attempt::FIRST);
}

#[tokio::test(start_paused = true)]
async fn what_fits_no_lane_of_a_fast_endpoint_waits_and_is_sent() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    for _ in 0..40 {
        bench.deliver("ep_a", bench.routing()).await;
    }
    pass(Duration::from_secs(2)).await;
    assert_eq!((bench.courier.hosts().len(), bench.parked().len()), (40, 0));
    assert_eq!(bench.partition.committable(), Some(40));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_endpoint_is_not_sent_to_and_loses_nothing() {
    let mut bench = Bench::new(vec![endpoint("ep_a", false)]);
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    assert_eq!((bench.courier.hosts().len(), bench.parked()), (0, vec![ParkReason::Disabled]));
    assert_eq!(bench.tier("30s").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_endpoint_waits_for_the_directory_then_parks() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    let ahead = Routing { version: Some(DirectoryVersion { epoch: 1, seq: 99 }), ..bench.routing() };
    bench.deliver("ep_new", ahead).await;
    pass(Duration::from_secs(4)).await;
    assert_eq!(bench.parked(), []);
    pass(Duration::from_secs(2)).await;
    assert_eq!(bench.parked(), [ParkReason::DirectoryBehind]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_endpoints_delivery_is_cancelled() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    bench.deliver("ep_gone", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    assert!(matches!(bench.events()[0].body, DeliveryEventBody::Cancelled(_)));
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_far_too_early_is_parked_again_until_the_same_time() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    let at = bench.sink.clock().now() + Duration::from_mins(10);
    let due = postrider_domain::delivery::NotBefore { at, whole_delay: Duration::from_mins(10) };
    bench.deliver("ep_a", Routing { not_before: Some(due), ..bench.routing() }).await;
    pass(Duration::from_millis(100)).await;
    assert_eq!(bench.parked(), [ParkReason::NotDue]);
    let parked = bench.tier("5m").remove(0);
    assert_eq!(routing_from_headers(&parked.headers).unwrap().not_before, Some(due));
}

#[tokio::test(start_paused = true)]
async fn corrupt_bytes_are_rejected_and_the_partition_goes_on() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    bench.send(Bytes::from_static(b"nonsense"), postrider_kafka::Headers::new()).await;
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    let rejected = bench.sink.acknowledged_for(&bench.topics.rejected());
    assert_eq!(rejected[0].value.as_deref(), Some(&b"nonsense"[..]));
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (1, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_revoke_drains_what_is_in_flight_and_leaves_the_rest_unsettled() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]);
    bench.courier.answer("ep_a.example", Duration::from_millis(500), 200);
    for _ in 0..3 {
        bench.deliver("ep_a", bench.routing()).await;
    }
    pass(Duration::from_millis(100)).await;
    bench.partition.stopped.cancel();
    assert!(bench.running.await.unwrap().is_ok());
    assert_eq!((bench.courier.sent.lock().len(), bench.partition.committable()), (1, Some(1)));
    assert_eq!(bench.partition.outstanding(), 0);
}
