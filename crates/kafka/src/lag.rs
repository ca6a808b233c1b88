//! How far a consumer group is behind.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use crate::{FetchSize, KafkaConfig, client_log::LogContext, config::Isolation};

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks up how far a group is behind in one topic, without being a member of it.
#[derive(Clone)]
pub struct GroupLag {
    client: Arc<BaseConsumer<LogContext>>,
    topic: Arc<str>,
    partitions: i32,
}

impl GroupLag {
    /// Of `group`, in the first `partitions` partitions of `topic`. Error: a client property is not one.
    pub fn new(kafka: &KafkaConfig, group: &str, topic: &str, partitions: i32) -> Result<Self, String> {
        let mut config = kafka.partition_reader(FetchSize::Small, Isolation::Committed);
        config.set("group.id", group);
        let client = config.create_with_context(LogContext).map_err(|error| format!("kafka.properties: {error}"))?;
        Ok(Self { client: Arc::new(client), topic: topic.into(), partitions })
    }

    /// For each partition, the records between what the group has committed (nothing yet: the oldest) and the end.
    /// Error: no answer.
    pub async fn by_partition(&self) -> Result<HashMap<i32, i64>, String> {
        let this = self.clone();
        let looked_up = tokio::task::spawn_blocking(move || this.look_up().map_err(|error| error.to_string())).await;
        looked_up.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn look_up(&self) -> Result<HashMap<i32, i64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, self.partitions - 1);
        let committed = self.client.committed_offsets(list, LOOKUP_TIMEOUT)?;
        let mut lags = HashMap::new();
        for element in committed.elements() {
            element.error()?;
            let (low, end) = self.client.fetch_watermarks(&self.topic, element.partition(), LOOKUP_TIMEOUT)?;
            let done = match element.offset() {
                Offset::Offset(offset) => offset.max(low),
                _ => low,
            };
            lags.insert(element.partition(), (end - done).max(0));
        }
        Ok(lags)
    }
}

impl fmt::Debug for GroupLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupLag").field("topic", &self.topic).finish_non_exhaustive()
    }
}
