//! Records that are read long before they are due: their partitions are paused, and little is fetched twice.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use postrider_domain::tier::{Tier, Tiers};
use postrider_kafka::{
    BrokerClock, Headers, KafkaConfig, Outgoing, PartitionStream, Producer, Shutdown, StageConsumer, TopicSettings,
    Topics, create_topics,
};
use postrider_pipeline::retrier::tier_stage;
use postrider_testkit::{eventually, usage};
use tokio::task::JoinSet;

use crate::support::{Context, LIMIT, Test, long_tests, tests};

pub fn tests() -> Vec<Test> {
    let quick = tests![pauses_fetch_little_twice];
    let long = long_tests![ten_thousand_pauses_fetch_little_twice_and_keep_memory_flat];
    quick.into_iter().chain(long).map(Test::alone).collect()
}

const PARTITIONS: i32 = 32;
const RECORDS_PER_PARTITION: usize = 4_096;
const RECORD_BYTES: usize = 1_024;
/// How many records of a partition are handed on between two waits: what is read ahead is then half gone.
const WAVE_RECORDS: usize = 256;
/// Time enough to fetch what every partition's wave has made room for, so that all are paused again.
const WAIT: Duration = Duration::from_millis(250);
/// How much may be fetched of each byte that was written.
const MAX_FETCHED: f64 = 3.0;
/// What the test's own process may grow by in the second half of the pauses. In the first, the memory of each of the
/// allocator's arenas is used for the first time: every reader brings new threads, and they take the arenas in turn.
const MAX_GROWTH_BYTES: u64 = 8 * 1024 * 1024;

async fn pauses_fetch_little_twice(context: Context) {
    // Too few rounds to tell what memory is kept and what grows.
    pause(&context, 300.0).await;
}

async fn ten_thousand_pauses_fetch_little_twice_and_keep_memory_flat(context: Context) {
    let grown = pause(&context, 10_000.0).await;
    assert!(grown < MAX_GROWTH_BYTES, "grown by {grown} bytes");
}

/// Reads a tier as the retrier does, with a wait wherever it would have one, again and again with further groups until
/// there were so many pauses. Answers how many bytes this process has grown by in the second half of them.
async fn pause(context: &Context, enough: f64) -> u64 {
    let metrics = metrics();
    let topics = Topics::new(&context.environment.prefix("pauses"));
    let tiers = Tiers::new([Duration::from_secs(1)]).unwrap();
    let tier = tiers.iter().next().unwrap();
    let mut kafka = context.environment.kafka().await;
    let spec = topics.specs(&tiers).into_iter().find(|spec| spec.name == topics.retry(tier)).unwrap();
    let settings = TopicSettings { partitions: PARTITIONS, replication_factor: 1, min_insync_replicas: 1 };
    create_topics(&kafka, &[spec], settings).await.unwrap();
    fill(&kafka, &topics.retry(tier)).await;

    kafka.properties.insert("statistics.interval.ms".to_owned(), "200".to_owned());
    let written = f64::from(PARTITIONS) * as_f64(RECORDS_PER_PARTITION * RECORD_BYTES);
    // The first reading is not counted: what readers need is allocated in it.
    read(&kafka, &topics, tier, 0).await;
    let [pauses, fetched] = ["postrider_consumer_pauses_total", "postrider_consumer_fetched_bytes_total"];
    let begun = [pauses, fetched].map(|name| value(metrics, name, &topics));
    let mut resident = usage::resident_bytes(std::process::id());
    let (mut rounds, mut paused) = (0, 0.0);
    while paused < enough {
        rounds += 1;
        read(&kafka, &topics, tier, rounds).await;
        paused = value(metrics, pauses, &topics) - begun[0];
        if paused < enough / 2.0 {
            resident = usage::resident_bytes(std::process::id());
        }
        assert!(paused > 0.0, "no partition was ever paused");
    }
    let ratio = (value(metrics, fetched, &topics) - begun[1]) / (written * f64::from(rounds));
    let grown = usage::resident_bytes(std::process::id()).saturating_sub(resident);
    println!(
        "pauses: {paused} in {rounds} rounds, fetched {ratio:.2} × what was written, at last grown by {grown} bytes"
    );
    assert!((1.0..=MAX_FETCHED).contains(&ratio), "fetched {ratio:.2} × what was written");
    grown
}

/// Fills each partition as the dispatcher would: with the producer's own batches.
async fn fill(kafka: &KafkaConfig, topic: &str) {
    let producer = Producer::new(kafka, BrokerClock::new(true)).unwrap();
    let mut writers = JoinSet::new();
    for partition in 0..PARTITIONS {
        let (producer, topic) = (producer.clone(), Arc::from(topic));
        writers.spawn(async move {
            let record = Outgoing {
                topic,
                partition: Some(partition),
                key: Bytes::from_static(b"ep_1"),
                value: Some(vec![b'x'; RECORD_BYTES].into()),
                headers: Headers::new(),
            };
            let sends = stream::iter(0..RECORDS_PER_PARTITION).map(|_| producer.send(&record));
            sends.buffer_unordered(300).for_each(async |sent| assert!(sent.is_ok(), "{sent:?}")).await;
        });
    }
    writers.join_all().await;
}

/// Reads the whole tier once, as a member of a group of its own.
async fn read(kafka: &KafkaConfig, topics: &Topics, tier: &Tier, round: u32) {
    let shutdown = Shutdown::new();
    let mut stage = tier_stage(topics, tier);
    stage.group = format!("{}.{round}", stage.group);
    let fetched = || value(metrics(), "postrider_consumer_fetched_bytes_total", topics);
    let mut consumer = StageConsumer::start(kafka, stage, shutdown.clone()).unwrap();
    let mut readers = JoinSet::new();
    while readers.len() < usize::try_from(PARTITIONS).unwrap() {
        readers.spawn(hand_on_with_waits(consumer.next_partition().await.unwrap()));
    }
    readers.join_all().await;
    // Statistics tell of the last fetches once they stay as they are, but for what the group says.
    let mut before = f64::NEG_INFINITY;
    eventually(LIMIT, "the last statistics", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let still = fetched() - before < as_f64(RECORD_BYTES * 16);
        before = fetched();
        still.then_some(())
    })
    .await;
    shutdown.soft.cancel();
    consumer.closed().await;
}

/// Hands on a partition's records: some, then a wait.
async fn hand_on_with_waits(mut stream: PartitionStream) {
    for number in 0..RECORDS_PER_PARTITION {
        if number % WAVE_RECORDS == 0 {
            tokio::time::sleep(WAIT).await;
        }
        stream.next().await.unwrap().token.settle();
    }
}

/// This process' own metrics.
fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

/// A metric's sum over the groups of `topics`.
fn value(metrics: &PrometheusHandle, name: &str, topics: &Topics) -> f64 {
    let (text, group) = (metrics.render(), format!("group=\"{}", topics.group("retrier.")));
    let series = text.lines().filter(|line| line.split('{').next() == Some(name) && line.contains(&group));
    series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[expect(clippy::cast_precision_loss, reason = "a few million")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
