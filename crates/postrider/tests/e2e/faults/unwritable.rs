//! The topic of delivery events can't be written: sending stops, nothing is lost.

use std::time::Duration;

use postrider_kafka::{TopicSettings, create_topics};
use postrider_testkit::{KafkaCluster, Receiver};
use serde_json::json;

use crate::support::{Context, Deployment, Environment, Hook, LIMIT, Ledger, Stream, Test, long_tests};

pub fn tests() -> Vec<Test> {
    long_tests![while_delivery_events_are_unwritable_sending_stops_within_its_bound]
        .into_iter()
        .map(Test::alone)
        .collect()
}

const PER_SECOND: u32 = 500;
/// Deliveries at most that a process has sent and whose events are not acknowledged.
const MAX_IN_DOUBT: usize = 2_000;
const UNWRITABLE: Duration = Duration::from_secs(30);
/// How long the brokers take to notice that one is gone, and to go on without it with all other topics.
const NOTICED: Duration = Duration::from_secs(12);

const CONFIGURATION: &str = r"
[topics]
partitions = 3
replication_factor = 3
min_insync_replicas = 2
[egress]
allow_http = true
";

async fn while_delivery_events_are_unwritable_sending_stops_within_its_bound(context: Context) {
    let kafka = KafkaCluster::start(3).await.unwrap();
    let mut deployment =
        Deployment::prepare_at(&context, "unwritable", &kafka.bootstrap_servers(), CONFIGURATION).await;
    // All three brokers must have a delivery event, two are enough for any other record.
    let client = Environment::client(&kafka.bootstrap_servers());
    let events = deployment.topics.delivery_events();
    let specs = deployment.topics.specs(&postrider_domain::tier::Tiers::default());
    let spec: Vec<_> = specs.into_iter().filter(|spec| spec.name == events).collect();
    assert_eq!(spec.len(), 1);
    let settings = TopicSettings { partitions: 3, replication_factor: 3, min_insync_replicas: 3 };
    create_topics(&client, &spec, settings).await.unwrap();
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = Receiver::start().unwrap();
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    deployment.synced().await;
    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    hook.wait_for(1_000).await;

    let sent_before = receiver.count("/orders");
    kafka.pause(2).await.unwrap();
    tokio::time::sleep(NOTICED).await;
    let (sent, at) = (receiver.count("/orders"), stream.written());
    tokio::time::sleep(UNWRITABLE.saturating_sub(NOTICED)).await;
    let (still, written) = (receiver.count("/orders"), stream.written());
    println!(
        "unwritable: {} sent at first, {} later, while {} were written",
        sent - sent_before,
        still - sent,
        written - at
    );
    assert!(still - sent_before <= MAX_IN_DOUBT, "{} were sent without an acknowledgement", still - sent_before);
    assert!(written - at > MAX_IN_DOUBT, "too few events to tell: {}", written - at);

    kafka.resume(2).await.unwrap();
    let written = stream.stop().await;
    let ledger = Ledger::settle(written, &receiver, "/orders", LIMIT * 3).await;
    println!("unwritable: {written} events, 0 lost, {} repeated", ledger.duplicates());
    assert!(ledger.duplicates() <= MAX_IN_DOUBT, "{} repeated", ledger.duplicates());
    deployment.terminate().await;
    kafka.stop().await.unwrap();
}
