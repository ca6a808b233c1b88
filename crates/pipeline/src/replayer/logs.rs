//! Where the replayer reads: Kafka, or logs in memory in its tests.

use std::{collections::HashMap, future::Future};

use postrider_kafka::{FetchSize, GroupLag, KafkaConfig, Layout, PartitionCursor, PartitionReader, StartAt, Topics};

/// The logs that jobs read.
pub trait Logs: Clone + Send + Sync + 'static {
    /// Reads one topic.
    type Reader: LogReader;

    /// A reader of `topic`, committed records only. Error: it can't be started.
    fn reader(&self, topic: &str) -> Result<Self::Reader, String>;

    /// How far the dispatchers are behind, by partition of `postrider.deliveries`. Error: no answer.
    fn lags(&self) -> impl Future<Output = Result<HashMap<i32, i64>, String>> + Send;
}

/// Reads partitions of a topic.
pub trait LogReader: Send + Sync + 'static {
    /// Begins to read a partition; an earlier cursor on it ends.
    fn open(&self, partition: i32, from: StartAt) -> PartitionCursor;
}

/// The logs in Kafka.
#[derive(Debug, Clone)]
pub struct KafkaLogs {
    kafka: KafkaConfig,
    lag: GroupLag,
}

impl KafkaLogs {
    /// Those of a deployment. Error: a client property is not one.
    pub fn new(kafka: &KafkaConfig, topics: &Topics, layout: &Layout) -> Result<Self, String> {
        let (group, deliveries) = (topics.dispatcher_group(), topics.deliveries());
        let lag = GroupLag::new(kafka, &group, &deliveries, layout.partitions(&deliveries))?;
        Ok(Self { kafka: kafka.clone(), lag })
    }
}

impl Logs for KafkaLogs {
    type Reader = PartitionReader;

    fn reader(&self, topic: &str) -> Result<PartitionReader, String> {
        PartitionReader::start_committed(&self.kafka, topic, FetchSize::Large)
    }

    async fn lags(&self) -> Result<HashMap<i32, i64>, String> {
        self.lag.by_partition().await
    }
}

impl LogReader for PartitionReader {
    fn open(&self, partition: i32, from: StartAt) -> PartitionCursor {
        Self::open(self, partition, from)
    }
}
