//! Questions to the brokers about a partition. They block, so they are asked on a thread of the pool.

use std::{sync::Arc, time::Duration};

use postrider_domain::Timestamp;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    metadata::MetadataTopic,
};

use crate::client_log::LogContext;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks about the partitions of one topic.
#[derive(Clone)]
pub(super) struct Lookup {
    pub consumer: Arc<BaseConsumer<LogContext>>,
    pub topic: Arc<str>,
}

impl Lookup {
    /// Whether there is such a partition.
    pub(super) async fn exists(&self, partition: i32) -> Result<bool, String> {
        let Self { consumer, topic } = self.clone();
        ask(move || {
            let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT);
            let metadata = metadata.map_err(|error| format!("the topic {topic} can't be looked up: {error}"))?;
            let is_it = |found: &MetadataTopic| found.name() == &*topic && found.error().is_none();
            let found = metadata.topics().iter().find(|found| is_it(found));
            Ok(found.is_some_and(|found| found.partitions().iter().any(|known| known.id() == partition)))
        })
        .await
    }

    /// The first offset that is kept and the one that comes next.
    pub(super) async fn watermarks(&self, partition: i32) -> Result<(i64, i64), String> {
        let Self { consumer, topic } = self.clone();
        ask(move || {
            let answer = consumer.fetch_watermarks(&topic, partition, TIMEOUT);
            answer.map_err(|error| format!("the ends of {topic}/{partition} can't be looked up: {error}"))
        })
        .await
    }

    /// The first offset whose record is not older than `at`.
    pub(super) async fn offset_for_time(&self, partition: i32, at: Timestamp) -> Result<Option<i64>, String> {
        let Self { consumer, topic } = self.clone();
        ask(move || {
            let failed = |error: String| {
                format!("{topic}/{partition} can't be searched for the time {}: {error}", at.as_millis())
            };
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition_offset(&topic, partition, Offset::Offset(at.as_millis()))
                .map_err(|error| failed(error.to_string()))?;
            let found = consumer.offsets_for_times(list, TIMEOUT).map_err(|error| failed(error.to_string()))?;
            let element = found.find_partition(&topic, partition).ok_or_else(|| failed("no answer".to_owned()))?;
            element.error().map_err(|error| failed(error.to_string()))?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        })
        .await
    }
}

async fn ask<T: Send + 'static>(question: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(question).await.map_err(|error| error.to_string())?
}
