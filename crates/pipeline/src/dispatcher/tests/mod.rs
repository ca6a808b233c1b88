//! The dispatcher's behaviours, one a test, on paused time with fakes at its edges: a partition of each topic in memory.

mod egress;
mod ending;
mod holding;
mod ordering;
mod sending;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_domain::{
    Attempt, ConfigBody, Delivery, DeliveryEvent, DeliveryEventBody, DeliveryKind, DirectoryVersion, Endpoint,
    EndpointId, ErrorClass, EventId, MessageId, Method, Outcome, Priority, Routing, Run, SecretId, SourceCoordinates,
    SubscriptionId, TenantId, Timestamp,
    delivery::Header,
    delivery_event::{DeadLetter, HoldReason, ParkReason, Phases},
    egress::EgressPolicy,
    endpoint::{EndpointSecret, EndpointSettings, purpose},
    endpoint_state::EndpointState,
    failing::DisableRule,
    outcome::Jitter,
    seal::{KeyRing, SealedAt},
    signing::SigningSecret,
    tier::Tiers,
};
use postrider_kafka::{
    Headers, Layout, Outgoing, PartitionCursor, PartitionStream, Readiness, Record, Sink as _, TestCursor,
    TestPartition, Topics, routing_to_headers,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::Semaphore;

use super::{
    gate::Gate,
    lateness::Lateness,
    memory::Memory,
    overrides::Overrides,
    partition::{Partition, Shared},
    service::DispatcherConfig,
    settle::{DoubtLimits, Settler},
    state::{self, StateBudget},
    uptime::Uptime,
};
use crate::{
    directory::Directory,
    egress::{Answer, Courier, Request},
    sink::FakeSink,
    stage::StageError,
};

const TENANT: &str = "ten_1";

/// What an endpoint does with a request.
#[derive(Debug, Clone, Copy)]
struct Act {
    after: Duration,
    /// None: no answer, not even a connection.
    status: Option<u16>,
    retry_after: Option<Duration>,
}

fn answers(status: u16) -> Act {
    Act { after: Duration::from_millis(5), status: Some(status), retry_after: None }
}

const REFUSES: Act = Act { after: Duration::from_millis(5), status: None, retry_after: None };

/// Answers by host, first what was planned for its next requests; remembers what it was asked to send.
#[derive(Clone, Default)]
struct FakeCourier {
    acts: Arc<Mutex<HashMap<String, Act>>>,
    next: Arc<Mutex<HashMap<String, VecDeque<Act>>>>,
    sent: Arc<Mutex<Vec<Request>>>,
    /// What every answer says of the streams that its peer takes.
    max_streams: Arc<Mutex<Option<u32>>>,
}

impl FakeCourier {
    fn act(&self, host: &str, act: Act) {
        self.acts.lock().insert(host.to_owned(), act);
    }

    fn next(&self, host: &str, acts: impl IntoIterator<Item = Act>) {
        self.next.lock().entry(host.to_owned()).or_default().extend(acts);
    }

    fn answer(&self, host: &str, after: Duration, status: u16) {
        self.act(host, Act { after, ..answers(status) });
    }

    fn hosts(&self) -> Vec<String> {
        self.sent.lock().iter().filter_map(|request| request.url.host_str().map(str::to_owned)).collect()
    }

    /// The message ids that were sent, in order.
    fn messages(&self) -> Vec<String> {
        let id = |request: &Request| {
            let id = request.headers.iter().find(|(name, _)| *name == "webhook-id");
            id.map(|(_, value)| value.clone()).unwrap()
        };
        self.sent.lock().iter().map(id).collect()
    }
}

impl Courier for FakeCourier {
    async fn deliver(&self, request: Request, _now: Timestamp) -> Answer {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let deadline = request.deadline;
        self.sent.lock().push(request);
        let planned = self.next.lock().get_mut(&host).and_then(VecDeque::pop_front);
        let act = planned.or_else(|| self.acts.lock().get(&host).copied()).unwrap_or(answers(200));
        if tokio::time::timeout(deadline, tokio::time::sleep(act.after)).await.is_err() {
            return Answer::failed(ErrorClass::Timeout, "late");
        }
        let Some(status) = act.status else { return Answer::failed(ErrorClass::Connect, "refused") };
        let outcome = Outcome::Answered { status, retry_after: act.retry_after };
        let max_streams = *self.max_streams.lock();
        Answer {
            outcome,
            error_message: None,
            headers: vec![Header { name: "x-echo".to_owned(), value: "not tok-12345678".to_owned() }],
            excerpt: Some("body".to_owned()),
            phases: Phases { wait_us: Some(7), ..Phases::default() },
            max_streams,
        }
    }
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

/// A partition of a topic in memory that outlives its readers.
#[derive(Clone)]
struct Log {
    topic: String,
    records: Arc<Mutex<Vec<Record>>>,
    reader: Arc<Mutex<Option<TestCursor>>>,
}

impl Log {
    fn new(sink: &FakeSink, topic: &str) -> Self {
        let log = Self { topic: topic.to_owned(), records: Arc::default(), reader: Arc::default() };
        let (writes, clock) = (log.clone(), sink.clock());
        sink.read_by(topic, move |written| writes.append(written, clock.now()));
        log
    }

    fn append(&self, written: &Outgoing, timestamp: Timestamp) {
        let mut records = self.records.lock();
        let record = Record {
            topic: written.topic.clone(),
            partition: 0,
            offset: i64::try_from(records.len()).unwrap(),
            timestamp,
            key: Some(written.key.clone()),
            value: written.value.clone(),
            headers: written.headers.clone(),
        };
        records.push(record.clone());
        if let Some(reader) = &*self.reader.lock() {
            reader.append([record]);
        }
    }

    fn len(&self) -> usize {
        self.records.lock().len()
    }

    /// A reader of everything that is there and that comes.
    fn open(&self) -> PartitionCursor {
        let (cursor, test) = PartitionCursor::for_test(&self.topic, 0);
        let records = self.records.lock();
        test.append(records.iter().cloned());
        *self.reader.lock() = Some(test);
        cursor.seek(0);
        cursor
    }

    fn read(&self) -> TestCursor {
        self.reader.lock().clone().unwrap()
    }
}

struct Bench {
    sink: FakeSink,
    courier: FakeCourier,
    topics: Topics,
    layout: Layout,
    directory: Directory,
    overrides: Overrides,
    config: DispatcherConfig,
    state: Log,
    held: Log,
    partition: TestPartition,
    running: tokio::task::JoinHandle<Result<(), StageError>>,
    next_offset: i64,
    next_seq: i64,
}

impl Bench {
    async fn new(endpoints: Vec<Endpoint>) -> Self {
        let few = DispatcherConfig { max_queued_per_lane: 4, lane_concurrency: 1, ..DispatcherConfig::default() };
        Self::with(endpoints, few).await
    }

    async fn with(endpoints: Vec<Endpoint>, config: DispatcherConfig) -> Self {
        let (sink, courier) = (FakeSink::new(), FakeCourier::default());
        let (topics, tiers) = (Topics::new("t"), Tiers::default());
        let layout = Layout::for_test(&topics, &tiers, 1);
        let next_seq = i64::try_from(endpoints.len()).unwrap() + 1;
        let bodies = endpoints.into_iter().map(|endpoint| ConfigBody::Endpoint(Box::new(endpoint))).collect();
        let (_, partition) = PartitionStream::for_test(&topics.deliveries(), 0, 1);
        let mut bench = Self {
            state: Log::new(&sink, &topics.endpoint_state()),
            held: Log::new(&sink, &topics.held()),
            sink,
            courier,
            topics,
            layout,
            directory: Directory::with(bodies),
            overrides: Overrides::for_test(Vec::new()),
            config,
            partition,
            running: tokio::spawn(async { Ok(()) }),
            next_offset: 0,
            next_seq,
        };
        bench.own().await;
        bench
    }

    /// Gives the partition to a new owner, which restores what the one before left.
    async fn own(&mut self) {
        let tiers = Tiers::default();
        let (uptime, config) = (Uptime::begin(), &self.config);
        let doubt = DoubtLimits { max_deliveries: 16, max_bytes: 1 << 20 };
        let shared = Shared {
            courier: self.courier.clone(),
            settler: Settler::new(self.sink.clone(), self.layout.clone(), &self.topics, &tiers, doubt),
            sink: self.sink.clone(),
            layout: self.layout.clone(),
            topics: self.topics.clone(),
            tiers: Arc::new(tiers),
            clock: self.sink.clock(),
            jitter: || Jitter(0.5),
            directory: self.directory.clone(),
            overrides: self.overrides.clone(),
            gate: Gate::new(config.gate(), uptime),
            codec: self.layout.codec().clone(),
            keys: keys(),
            policy: EgressPolicy::default(),
            limits: config.limits(),
            disable: DisableRule::default(),
            memory: Memory::new(config.max_waiting_bytes),
            test_sends: Arc::new(Semaphore::new(4)),
            state_budget: Arc::new(StateBudget::new()),
            readiness: Arc::new(Readiness::new().register("dispatcher")),
            uptime,
            lateness: Lateness::default(),
        };
        let (stream, partition) = PartitionStream::for_test(&self.topics.deliveries(), 0, 10_000);
        let restored = state::restore(
            self.state.open(),
            self.sink.clone(),
            &self.layout,
            &self.topics,
            0,
            None,
            self.next_seq,
            shared.state_budget.clone(),
        );
        let (journal, states) = restored.await.unwrap();
        let end = i64::try_from(self.held.len()).unwrap();
        let start = super::service::lowest_holding(&states).unwrap_or(end);
        let cursor = self.held.open();
        cursor.seek(start);
        self.partition = partition;
        let partition = Partition::new(Arc::new(shared), stream, journal, states, (cursor, start, end));
        self.running = tokio::spawn(partition.run());
    }

    /// Takes the partition away at once, as a kill does.
    async fn kill(&mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }

    /// Takes the partition away in order.
    async fn revoke(&mut self) {
        self.partition.stopped.cancel();
        (&mut self.running).await.unwrap().unwrap();
    }

    /// Changes an endpoint's configuration.
    fn edit(&mut self, endpoint: Endpoint) {
        self.next_seq += 1;
        self.directory.put(self.next_seq, ConfigBody::Endpoint(Box::new(endpoint)));
    }

    fn routing(&self) -> Routing {
        Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: self.sink.clock().now(),
            version: Some(DirectoryVersion { epoch: 1, seq: 1 }),
            generation: 0,
            priority: Priority::Normal,
            traceparent: None,
        }
    }

    #[expect(clippy::unused_self, reason = "reads as the rest of the bench does")]
    fn delivery(&self, endpoint: &str, message: i64) -> Delivery {
        Delivery {
            message_id: MessageId::from_trusted(format!("msg_{message}")),
            run: Run::LIVE,
            kind: DeliveryKind::Live,
            event_id: EventId::from_trusted("e"),
            tenant: TenantId::from_trusted(TENANT),
            endpoint: EndpointId::from_trusted(endpoint),
            subscription: SubscriptionId::from_trusted("sub_1"),
            event_type: "order.created".to_owned(),
            ordering_key: None,
            source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: message },
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            method: Method::Post,
            path_suffix: String::new(),
        }
    }

    async fn deliver(&mut self, endpoint: &str, routing: Routing) {
        let delivery = self.delivery(endpoint, self.next_offset);
        self.deliver_this(&delivery, &routing).await;
    }

    /// So many deliveries to an endpoint.
    async fn deliver_many(&mut self, endpoint: &str, count: usize) {
        for _ in 0..count {
            self.deliver(endpoint, self.routing()).await;
        }
    }

    async fn deliver_this(&mut self, delivery: &Delivery, routing: &Routing) {
        let value = self.layout.codec().encode(delivery);
        self.send(value, routing_to_headers(routing)).await;
    }

    async fn send(&mut self, value: Bytes, headers: Headers) {
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
        written.iter().filter_map(|event| self.layout.codec().decode(event.value.as_ref().unwrap()).ok()).collect()
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

    fn held_for(&self) -> Vec<HoldReason> {
        let reason = |event: DeliveryEvent| match event.body {
            DeliveryEventBody::Held(held) => Some(held.reason),
            _ => None,
        };
        self.events().into_iter().filter_map(reason).collect()
    }

    fn dead_letters(&self) -> Vec<DeadLetter> {
        let letters = self.sink.acknowledged_for(&self.topics.dlq());
        letters.iter().map(|letter| self.layout.codec().decode(letter.value.as_ref().unwrap()).unwrap()).collect()
    }

    /// What is remembered of an endpoint; none if nothing is.
    fn remembered(&self, endpoint: &str) -> Option<EndpointState> {
        let states = self.state.records.lock();
        let last = states.iter().rev().find(|record| record.key_str() == Some(endpoint))?;
        last.value.as_ref().map(|value| self.layout.codec().decode(value).unwrap())
    }
}

/// Lets paused time pass and everything that is due happen.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
