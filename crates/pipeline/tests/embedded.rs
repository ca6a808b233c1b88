//! Directory, matcher and retrier together, on the in-process broker.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use postrider_domain::{
    ConfigBody, ConfigEntry, ConfigMarker, Delivery, DirectoryVersion, EndpointId, Subscription, SubscriptionId,
    TenantId, Timestamp, delivery::NotBefore, tier::Tiers,
};
use postrider_kafka::{
    BrokerClock, Headers, Inbound, KafkaConfig, Layout, Outgoing, PartitionStream, Producer, Readiness, Shutdown,
    StageConfig, StageConsumer, Topics, mock::MockBroker, routing_from_headers, routing_to_headers,
};
use postrider_pipeline::{
    directory::Directory,
    matcher::{Matcher, MatcherConfig, MatcherDeps, SourceConfig},
    retrier::{Retrier, RetrierDeps},
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Deployment {
    _broker: MockBroker,
    kafka: KafkaConfig,
    topics: Topics,
    tiers: Tiers,
    producer: Producer,
    layout: Layout,
    shutdown: Shutdown,
}

impl Deployment {
    async fn start() -> Self {
        let (topics, tiers) = (Topics::new("t"), Tiers::new([Duration::from_secs(1)]).unwrap());
        let partitions = |single| if single { 1 } else { 2 };
        let specs = topics.specs(&tiers);
        let mut names: Vec<_> = specs.into_iter().map(|spec| (spec.name, partitions(spec.single_partition))).collect();
        names.push(("orders".to_owned(), 1));
        let broker = MockBroker::start(names).unwrap();
        let kafka = KafkaConfig::embedded(broker.bootstrap_servers(), "test");
        let producer = Producer::new(&kafka, BrokerClock::new(true)).unwrap();
        let shutdown = Shutdown::new();
        let layout = Layout::open(&kafka, &topics, &tiers, None, &producer, &shutdown).await.unwrap();
        Self { _broker: broker, kafka, topics, tiers, producer, layout, shutdown }
    }

    async fn write(&self, topic: &str, key: &str, value: Bytes, headers: Headers) {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let record = Outgoing { topic: topic.into(), partition: Some(0), key, value: Some(value), headers };
        self.producer.send(&record).await.unwrap();
    }

    /// Publishes a subscription to every event, as the relay does.
    async fn publish_subscription(&self) {
        let version = DirectoryVersion { epoch: 1, seq: 1 };
        let body = ConfigBody::Subscription(Subscription {
            id: SubscriptionId::from_trusted("sub_1"),
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted("ep_1"),
            event_types: vec!["*".parse().unwrap()],
            filter: None,
            mapping: None,
            created_at: Timestamp::EPOCH,
        });
        let (codec, config) = (self.layout.codec(), self.topics.config());
        let entry = codec.encode(&ConfigEntry { version, entity_version: 1, body });
        self.write(&config, "sub_1", entry, Headers::new()).await;
        let marker = codec.encode(&ConfigMarker { version, live: 1 });
        self.write(&config, ConfigMarker::KEY, marker, Headers::new()).await;
    }

    /// Reads the deliveries topic as a dispatcher would.
    fn deliveries(&self) -> Deliveries {
        let config = StageConfig::new(self.topics.group("dispatcher"), vec![self.topics.deliveries()]);
        let consumer = StageConsumer::start(&self.kafka, config, self.shutdown.clone()).unwrap();
        let (found, inbounds) = tokio::sync::mpsc::channel(10);
        tokio::spawn(async move {
            let mut consumer = consumer;
            while let Some(stream) = consumer.next_partition().await {
                tokio::spawn(pass_on(stream, found.clone()));
            }
        });
        Deliveries(inbounds)
    }
}

struct Deliveries(tokio::sync::mpsc::Receiver<Inbound>);

impl Deliveries {
    async fn next(&mut self) -> Inbound {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("a delivery comes in time").expect("it is read on")
    }
}

async fn pass_on(mut stream: PartitionStream, found: tokio::sync::mpsc::Sender<Inbound>) {
    while let Some(inbound) = stream.next().await {
        if found.send(inbound).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_matched_and_what_waits_in_a_tier_comes_back_unchanged() {
    let here = Deployment::start().await;
    let readiness = Readiness::new();
    let directory = Directory::new(here.layout.codec().clone());
    let following = tokio::spawn(directory.clone().run(
        here.kafka.clone(),
        here.topics.clone(),
        readiness.register("directory"),
        here.shutdown.clone(),
    ));
    let source =
        SourceConfig { tenant: Some(TenantId::from_trusted("ten_1")), ..SourceConfig::new("orders", "orders") };
    let config = MatcherConfig { sources: vec![source], shutdown_drain: Duration::from_secs(2) };
    let matcher = Matcher::new(
        config,
        MatcherDeps {
            kafka: here.kafka.clone(),
            topics: here.topics.clone(),
            layout: here.layout.clone(),
            directory: directory.clone(),
            schemas: None,
            sink: here.producer.clone(),
            readiness: readiness.clone(),
        },
    );
    let retrier = Retrier::new(RetrierDeps {
        kafka: here.kafka.clone(),
        topics: here.topics.clone(),
        layout: here.layout.clone(),
        tiers: here.tiers.clone(),
        sink: here.producer.clone(),
        readiness: readiness.clone(),
    });
    let matching = tokio::spawn(matcher.run(here.shutdown.clone()));
    let retrying = tokio::spawn(retrier.run(here.shutdown.clone()));
    let mut deliveries = here.deliveries();

    here.write("orders", "k", Bytes::from_static(br#"{"type":"a.b","data":1}"#), Headers::new()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!directory.can_work(), "there is no marker yet");
    assert!(!readiness.is_ready());
    here.publish_subscription().await;

    let first = deliveries.next().await;
    let value = first.record.value.clone().unwrap();
    let delivery: Delivery = here.layout.codec().decode(&value).unwrap();
    assert_eq!((delivery.endpoint.as_str(), delivery.event_type.as_str()), ("ep_1", "a.b"));
    assert_eq!(first.record.partition, here.layout.partition(&here.topics.deliveries(), "ep_1"));
    assert!(readiness.is_ready(), "{:?}", readiness.report());

    let mut routing = routing_from_headers(&first.record.headers).unwrap();
    let wait = Duration::from_secs(1);
    let parked_at = here.producer.clock().now();
    routing.attempt = routing.attempt.next();
    routing.not_before = Some(NotBefore { at: parked_at + wait, whole_delay: wait });
    let tier = here.tiers.iter().next().unwrap();
    here.write(&here.topics.retry(tier), "ep_1", value.clone(), routing_to_headers(&routing)).await;
    let returned = deliveries.next().await;
    assert!(here.producer.clock().now().since(parked_at) >= wait);
    assert_eq!(returned.record.value, Some(value));
    assert_eq!(routing_from_headers(&returned.record.headers), Ok(routing));

    drop((first, returned));
    here.shutdown.soft.cancel();
    let ended = async {
        following.await.unwrap().unwrap();
        matching.await.unwrap().unwrap();
        retrying.await.unwrap().unwrap();
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("all stop in time");
}
