//! Reads the oldest and the newest records of a source, without a group.

use std::{future::Future, time::Duration};

use postrider_kafka::{
    CursorEvent, FetchSize, KafkaConfig, PartitionCursor, PartitionReader, Record, StartAt, TopicSelection,
};
use postrider_pipeline::matcher::{Inspected, SourceConfig};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

/// How long reading one source may take.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// How long one record's schema may take.
const INSPECT_LIMIT: Duration = Duration::from_secs(10);
/// The most partitions of a source that are looked at.
const MAX_PARTITIONS: usize = 100;

/// Some records of a source.
#[derive(Debug, Default)]
pub struct Sample {
    /// The records, the oldest first.
    pub records: Vec<Record>,
    /// The topics that they are from, and how many partitions were looked at and how many there are.
    pub topics: usize,
    /// Partitions that were looked at.
    pub looked_at: usize,
    /// Partitions that there are.
    pub partitions: usize,
    /// Records that there are, as far as offsets tell.
    pub available: i64,
    /// What went wrong on the way.
    pub problem: Option<String>,
}

/// The oldest and the newest of a source's records, `count` in all. Error: there is nothing to read from, and why.
pub async fn sample(kafka: &KafkaConfig, source: &SourceConfig, count: usize) -> Result<Sample, String> {
    let topics = source.topics.existing(kafka).await?;
    if topics.is_empty() {
        return Err(match &source.topics {
            TopicSelection::Topic(topic) => format!("there is no topic '{topic}'"),
            TopicSelection::Pattern(pattern) => format!("there is no topic whose name matches '{pattern}'"),
        });
    }
    let deadline = Instant::now() + READ_LIMIT;
    let (oldest, newest) = (count.div_ceil(2), count / 2);
    let mut sample = Sample {
        topics: topics.len(),
        partitions: topics.iter().map(|(_, partitions)| usize::try_from(*partitions).unwrap_or(0)).sum(),
        ..Sample::default()
    };
    let mut looking = JoinSet::new();
    for (topic, partitions) in topics {
        // Each takes a client.
        if looking.len() == MAX_PARTITIONS {
            break;
        }
        let reader = PartitionReader::start_committed(kafka, &topic, FetchSize::Small)?;
        for partition in 0..partitions {
            if looking.len() < MAX_PARTITIONS {
                looking.spawn(ends(reader.open(partition, StartAt::Beginning), oldest, newest));
            }
        }
    }
    sample.looked_at = looking.len();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    loop {
        match timeout_at(deadline, looking.join_next()).await {
            Ok(None) => break,
            Ok(Some(Ok(Ok((available, from_beginning, from_end))))) => {
                sample.available += available;
                first.extend(from_beginning);
                last.extend(from_end);
            }
            Ok(Some(Ok(Err(error)))) => sample.problem = Some(error),
            Ok(Some(Err(error))) => sample.problem = Some(error.to_string()),
            Err(_) => {
                sample.problem = Some(format!("not everything could be read within {READ_LIMIT:?}"));
                break;
            }
        }
    }
    sample.records = chosen(first, last, oldest, newest);
    Ok(sample)
}

/// How many records a partition has, and so many from its beginning and before its end; none is in both.
async fn ends(
    mut cursor: PartitionCursor,
    oldest: usize,
    newest: usize,
) -> Result<(i64, Vec<Record>, Vec<Record>), String> {
    let (low, end) = cursor.watermarks().await?;
    if low >= end {
        return Ok((0, Vec::new(), Vec::new()));
    }
    let from_beginning = read(&mut cursor, oldest, end).await?;
    let behind = from_beginning.last().map_or(low, |record| record.offset + 1);
    let from = behind.max(end - i64::try_from(newest).unwrap_or(i64::MAX));
    let mut from_end = Vec::new();
    if from < end && newest > 0 {
        cursor.seek(from);
        from_end = read(&mut cursor, newest, end).await?;
    }
    Ok((end - low, from_beginning, from_end))
}

/// The next `count` records before `end`.
async fn read(cursor: &mut PartitionCursor, count: usize, end: i64) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    while records.len() < count {
        match cursor.next().await {
            Some(CursorEvent::Record(record)) if record.offset < end => records.push(record),
            Some(CursorEvent::Record(_) | CursorEvent::EndOfPartition { .. }) => break,
            Some(CursorEvent::OutOfRange { .. }) => {}
            None => return Err(format!("the reader of {} ended", cursor.topic())),
        }
    }
    Ok(records)
}

/// Of all partitions' oldest records the oldest, and of the newest ones the newest.
fn chosen(mut first: Vec<Record>, mut last: Vec<Record>, oldest: usize, newest: usize) -> Vec<Record> {
    let place = |record: &Record| (record.timestamp, record.topic.clone(), record.partition, record.offset);
    first.sort_by_key(place);
    // Where there are few records, what is left over of the oldest is of the newest.
    last.extend(first.split_off(oldest.min(first.len())));
    last.sort_by_key(place);
    let spare = oldest - first.len();
    first.extend(last.split_off(last.len().saturating_sub(newest + spare)));
    first
}

/// What a record is, unless that takes too long to tell.
pub async fn in_time(inspecting: impl Future<Output = Vec<Inspected>>) -> Vec<Inspected> {
    let inspected = timeout(INSPECT_LIMIT, inspecting).await;
    inspected.unwrap_or_else(|_| vec![Inspected::Waits(format!("no schema within {INSPECT_LIMIT:?}"))])
}

#[cfg(test)]
mod tests {
    use postrider_domain::Timestamp;
    use postrider_kafka::Headers;

    use super::*;

    fn records(partition: i32, times: impl IntoIterator<Item = i64>) -> Vec<Record> {
        let record = |time: i64| Record {
            topic: "t".into(),
            partition,
            offset: time,
            timestamp: Timestamp::from_millis(time),
            key: None,
            value: None,
            headers: Headers::new(),
        };
        times.into_iter().map(record).collect()
    }

    fn times(records: &[Record]) -> Vec<i64> {
        records.iter().map(|record| record.timestamp.as_millis()).collect()
    }

    #[test]
    fn of_all_partitions_the_oldest_and_the_newest_are_chosen() {
        let first = [records(0, [1, 4, 5]), records(1, [2, 3, 9])].concat();
        let last = [records(0, [20, 21]), records(1, [10, 22])].concat();
        assert_eq!(times(&chosen(first, last, 3, 2)), [1, 2, 3, 21, 22]);
    }

    #[test]
    fn where_there_are_few_all_are_chosen_once() {
        let first = [records(0, [1, 4, 5]), records(1, [2])].concat();
        assert_eq!(times(&chosen(first, Vec::new(), 3, 2)), [1, 2, 4, 5]);
        assert_eq!(times(&chosen(records(0, [1]), records(0, [2]), 3, 2)), [1, 2]);
        assert!(chosen(Vec::new(), Vec::new(), 1, 0).is_empty());
    }
}
