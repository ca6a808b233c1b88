//! What stands in a topic, as any consumer sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use postrider_kafka::{KafkaConfig, PartitionStream, Record, Shutdown, StageConfig, StageConsumer};
use postrider_testkit::eventually;

/// Reads every partition of a topic from its beginning until it is dropped.
pub struct TopicReader {
    topic: String,
    records: Arc<Mutex<Vec<Record>>>,
    shutdown: Shutdown,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl TopicReader {
    /// Starts to read.
    pub fn start(kafka: &KafkaConfig, topic: &str) -> Self {
        let shutdown = Shutdown::new();
        let group = format!("e2e-{}-{topic}", NEXT.fetch_add(1, Ordering::Relaxed));
        let stage = StageConfig::new(group, vec![topic.to_owned()]);
        let mut consumer = StageConsumer::start(kafka, stage, shutdown.clone()).unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&records);
        tokio::spawn(async move {
            while let Some(stream) = consumer.next_partition().await {
                tokio::spawn(collect(stream, Arc::clone(&all)));
            }
        });
        Self { topic: topic.to_owned(), records, shutdown }
    }

    /// How many records were read so far.
    pub fn count(&self) -> usize {
        self.records.lock().len()
    }

    /// The records that `wanted` picks, once there are `count`.
    pub async fn wait_for(&self, count: usize, limit: Duration, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
        eventually(limit, &format!("{count} records in {}", self.topic), async || {
            let picked: Vec<Record> = self.records.lock().iter().filter(|record| wanted(record)).cloned().collect();
            (picked.len() >= count).then_some(picked)
        })
        .await
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        self.shutdown.soft.cancel();
        self.shutdown.hard.cancel();
    }
}

async fn collect(mut stream: PartitionStream, records: Arc<Mutex<Vec<Record>>>) {
    while let Some(inbound) = stream.next().await {
        records.lock().push(inbound.record);
        inbound.token.settle();
    }
}
