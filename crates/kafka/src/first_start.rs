//! Where a group begins to read when it is started for the first time.
//!
//! A partition without a committed offset is read from its beginning: so is one that appears later. To begin elsewhere,
//! offsets are committed for the partitions that exist, before anybody joins the group; and beside them one of a topic
//! that the group never reads, which says that this was done although there was no partition yet.

use std::{collections::HashMap, time::Duration};

use postrider_domain::Timestamp;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{FetchSize, KafkaConfig, TopicPattern, admin::partition_counts, client_log::LogContext, config::Isolation};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a group begins, in the partitions that exist when it is started for the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// At the oldest record that is kept.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At the first record that is not older.
    Time(Timestamp),
}

/// The topics that a group reads.
#[derive(Debug, Clone)]
pub enum TopicSelection {
    /// This one.
    Topic(String),
    /// All that match, also those that are made later.
    Pattern(TopicPattern),
}

impl TopicSelection {
    /// Whether the topic is one of them.
    pub fn has(&self, topic: &str) -> bool {
        match self {
            Self::Topic(name) => name == topic,
            Self::Pattern(pattern) => pattern.matches(topic),
        }
    }

    /// Those that exist, with their numbers of partitions, in order. Error: no answer.
    pub async fn existing(&self, kafka: &KafkaConfig) -> Result<Vec<(String, i32)>, String> {
        let counts = partition_counts(kafka).await.map_err(|error| error.to_string())?;
        Ok(self.among(counts))
    }

    fn among(&self, counts: HashMap<String, i32>) -> Vec<(String, i32)> {
        let mut topics: Vec<(String, i32)> = counts.into_iter().filter(|(topic, _)| self.has(topic)).collect();
        topics.sort_unstable();
        topics
    }
}

/// Makes `group` begin `from` there, if it was never started before. To be called before it is joined. `marker` is a
/// topic that exists and that the group does not read. Error: no answer; to be tried again.
pub async fn begin_group(
    kafka: &KafkaConfig,
    group: &str,
    topics: &TopicSelection,
    from: StartFrom,
    marker: &str,
) -> Result<(), String> {
    if from == StartFrom::Earliest {
        return Ok(());
    }
    let existing = topics.existing(kafka).await?;
    let mut config = kafka.partition_reader(FetchSize::Small, Isolation::Committed);
    config.set("group.id", group);
    let (group, marker) = (group.to_owned(), marker.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer<LogContext> =
            config.create_with_context(LogContext).map_err(|error| format!("kafka.properties: {error}"))?;
        begin(&client, &existing, from, &marker)
            .map_err(|error| format!("where the group '{group}' begins can't be set: {error}"))
    });
    asked.await.map_err(|error| error.to_string())?
}

fn begin(
    client: &BaseConsumer<LogContext>,
    existing: &[(String, i32)],
    from: StartFrom,
    marker: &str,
) -> Result<(), KafkaError> {
    let mut partitions = TopicPartitionList::new();
    for (topic, count) in existing {
        partitions.add_partition_range(topic, 0, count - 1);
    }
    let mut asked = partitions.clone();
    asked.add_partition(marker, 0);
    if was_started(client, &asked)? {
        return Ok(());
    }
    let mut beginning = TopicPartitionList::new();
    for element in partitions.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (_, end) = client.fetch_watermarks(topic, partition, TIMEOUT)?;
        let offset = match from {
            StartFrom::Time(at) => at_time(client, topic, partition, at)?.unwrap_or(end),
            StartFrom::Latest | StartFrom::Earliest => end,
        };
        beginning.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    beginning.add_partition_offset(marker, 0, Offset::Offset(0))?;
    // By another process meanwhile: asking for the ends of many partitions takes a while.
    if was_started(client, &asked)? {
        return Ok(());
    }
    match client.commit(&beginning, CommitMode::Sync) {
        // The group has members: somebody else has started it meanwhile.
        Err(KafkaError::ConsumerCommit(code)) if HAS_MEMBERS.contains(&code) => Ok(()),
        other => other,
    }
}

/// Whether the group has an offset in any of these.
fn was_started(client: &BaseConsumer<LogContext>, partitions: &TopicPartitionList) -> Result<bool, KafkaError> {
    let committed = client.committed_offsets(partitions.clone(), TIMEOUT)?;
    let elements = committed.elements();
    // What can't be told is no sign that it was never started.
    elements.iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
    Ok(elements.iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
}

const HAS_MEMBERS: [RDKafkaErrorCode; 3] =
    [RDKafkaErrorCode::UnknownMemberId, RDKafkaErrorCode::IllegalGeneration, RDKafkaErrorCode::RebalanceInProgress];

fn at_time(
    client: &BaseConsumer<LogContext>,
    topic: &str,
    partition: i32,
    at: Timestamp,
) -> Result<Option<i64>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::Offset(at.as_millis()))?;
    let found = client.offsets_for_times(list, TIMEOUT)?;
    let Some(element) = found.find_partition(topic, partition) else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topics;

    #[test]
    fn a_selection_is_one_topic_or_those_that_match() {
        let counts = || HashMap::from([("b".to_owned(), 2), ("shop.a".to_owned(), 1), ("shop.b".to_owned(), 3)]);
        let one = TopicSelection::Topic("b".to_owned());
        assert_eq!(one.among(counts()), [("b".to_owned(), 2)]);
        assert!(TopicSelection::Topic("c".to_owned()).among(counts()).is_empty());
        let many = TopicSelection::Pattern(TopicPattern::new("^shop\\.", Topics::new("p")).unwrap());
        assert_eq!(many.among(counts()), [("shop.a".to_owned(), 1), ("shop.b".to_owned(), 3)]);
    }
}
