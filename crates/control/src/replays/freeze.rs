//! Where a job reads, fixed when it is made.

use std::{collections::BTreeMap, time::Duration};

use postrider_domain::{
    Timestamp,
    replay::{OffsetRange, OffsetRanges},
};
use postrider_kafka::{FetchSize, KafkaConfig, PartitionCursor, PartitionReader, StartAt};

use super::ReplayError;

/// How much earlier than their own time records of Postrider's may have been appended, clocks being what they are.
const SLACK: Duration = Duration::from_mins(1);

/// The ranges of one of Postrider's own topics with what was written from `since` to `until`. The time only narrows
/// what is read: where offsets can't be looked up by time, everything is.
pub(super) async fn own_topic(
    kafka: &KafkaConfig,
    topic: &str,
    partitions: i32,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<OffsetRanges, ReplayError> {
    let reader = reader(kafka, topic)?;
    let mut ranges = BTreeMap::new();
    for partition in 0..partitions {
        let cursor = reader.open(partition, StartAt::End);
        let (low, end) = cursor.watermarks().await.map_err(ReplayError::Kafka)?;
        let from = match since {
            Some(since) => at(&cursor, since - SLACK).await.map_or(low, |found| found.unwrap_or(end)),
            None => low,
        };
        let to = match until {
            Some(until) => at(&cursor, until + SLACK).await.ok().flatten().unwrap_or(end),
            None => end,
        };
        ranges.insert(partition, OffsetRange { from: from.clamp(low, end), to: to.min(end) });
    }
    Ok(OffsetRanges(ranges))
}

/// The ranges of a source's topic with the events from `since` to `until`. Without `until` they end where the topic
/// ends now, or nowhere if `open_end`.
pub(super) async fn source_topic(
    kafka: &KafkaConfig,
    topic: &str,
    partitions: i32,
    since: Timestamp,
    until: Option<Timestamp>,
    open_end: bool,
) -> Result<OffsetRanges, ReplayError> {
    let reader = reader(kafka, topic)?;
    let mut ranges = BTreeMap::new();
    for partition in 0..partitions {
        let cursor = reader.open(partition, StartAt::End);
        let (_, end) = cursor.watermarks().await.map_err(ReplayError::Kafka)?;
        let by_time = |reason: String| {
            ReplayError::refused(
                "since",
                format!(
                    "the broker can't look up offsets by time ({reason}); the in-process broker of `postrider dev` never can: use a real one"
                ),
            )
        };
        let from = at(&cursor, since).await.map_err(by_time)?.unwrap_or(end);
        let bounded = match until {
            Some(until) => at(&cursor, until).await.map_err(by_time)?,
            None => None,
        };
        let to = bounded.unwrap_or(if open_end { OffsetRange::NO_END } else { end });
        ranges.insert(partition, OffsetRange { from, to: to.max(from) });
    }
    Ok(OffsetRanges(ranges))
}

fn reader(kafka: &KafkaConfig, topic: &str) -> Result<PartitionReader, ReplayError> {
    PartitionReader::start_committed(kafka, topic, FetchSize::Small).map_err(ReplayError::Kafka)
}

async fn at(cursor: &PartitionCursor, at: Timestamp) -> Result<Option<i64>, String> {
    cursor.offset_for_time(at).await
}
