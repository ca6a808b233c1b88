//! Mapping dead letters again: they have no bodies, so their events are read where they stand in their sources.

use std::{collections::HashMap, sync::Arc, time::Duration};

use postrider_domain::SourceCoordinates;
use postrider_kafka::{CursorEvent, PartitionCursor, Record, Sink, StartAt};
use tokio::time::timeout;

use super::{
    finding::{Finding, Unmapped, Wanted},
    job::{Halt, Run},
    logs::{LogReader as _, Logs},
};
use crate::matcher::{Composed, Planned, Scope, SourceConfig, rematch};

/// How long one record may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Topics that are read at a time: each takes a client.
const MAX_TOPICS: usize = 4;
/// Partitions of one topic that are read at a time: each is read ahead.
const MAX_PARTITIONS: usize = 16;
/// Records that are rather read than jumped over.
const MAX_SKIPPED: i64 = 500;

/// Reads single records of sources: forwards, mostly, since letters stand in about the order of their events.
pub(super) struct Originals<L: Logs> {
    topics: HashMap<Arc<str>, Topic<L>>,
}

struct Topic<L: Logs> {
    reader: L::Reader,
    partitions: HashMap<i32, Partition>,
}

struct Partition {
    cursor: PartitionCursor,
    /// The offset that comes next.
    next: i64,
}

impl<L: Logs> Default for Originals<L> {
    fn default() -> Self {
        Self { topics: HashMap::new() }
    }
}

impl<L: Logs> Originals<L> {
    /// The record at `at`; none if it is not kept any more, or can't be read in time.
    async fn read(&mut self, logs: &L, at: &SourceCoordinates) -> Result<Option<Record>, String> {
        if !self.topics.contains_key(&at.topic) {
            if self.topics.len() >= MAX_TOPICS {
                self.topics.clear();
            }
            let topic = Topic { reader: logs.reader(&at.topic)?, partitions: HashMap::new() };
            self.topics.insert(at.topic.clone(), topic);
        }
        let Topic { reader, partitions } = self.topics.get_mut(&at.topic).expect("it was just put there");
        if partitions.len() >= MAX_PARTITIONS && !partitions.contains_key(&at.partition) {
            partitions.clear();
        }
        let partition = partitions.entry(at.partition).or_insert_with(|| {
            let cursor = reader.open(at.partition, StartAt::Offset(at.offset));
            Partition { cursor, next: at.offset }
        });
        Ok(timeout(READ_TIMEOUT, partition.read(at.offset)).await.unwrap_or(None))
    }
}

impl Partition {
    async fn read(&mut self, offset: i64) -> Option<Record> {
        if !(self.next..=self.next.saturating_add(MAX_SKIPPED)).contains(&offset) {
            self.cursor.seek(offset);
            self.next = offset;
        }
        loop {
            match self.cursor.next().await? {
                CursorEvent::Record(record) => {
                    self.next = record.offset + 1;
                    if record.offset >= offset {
                        return (record.offset == offset).then_some(record);
                    }
                }
                // Told of an end that may have moved since.
                CursorEvent::EndOfPartition { next_offset } if next_offset <= offset => {}
                CursorEvent::EndOfPartition { .. } => return None,
                CursorEvent::OutOfRange { resumed_at } => {
                    self.next = resumed_at;
                    return None;
                }
            }
        }
    }
}

impl<S: Sink, L: Logs> Run<S, L> {
    /// What a dead letter whose event could not be mapped comes to, by the source and the mapping of now. Unavailable
    /// is one whose event is gone, is not wanted any more, or still can't be mapped: the letter stays as it is.
    pub(super) async fn map_again(&mut self, unmapped: Unmapped) -> Result<Finding, Halt> {
        let Unmapped { sample, delivery, traceparent, mark } = unmapped;
        let shared = self.shared.clone();
        // Of several sources of one topic, the one whose event it is: it is in the message's id.
        let of_topic = |source: &&SourceConfig| source.topics.has(&delivery.source.topic);
        let sources: Vec<&SourceConfig> = shared.sources.iter().filter(of_topic).collect();
        if sources.is_empty() {
            return Ok(Finding::Unavailable);
        }
        let mut originals = std::mem::take(&mut self.originals);
        let record = self.unless_told(originals.read(&shared.logs, &delivery.source)).await??;
        self.originals = originals;
        let Some(record) = record else { return Ok(Finding::Unavailable) };
        let (scope, tenant) = (Scope::Endpoint(&delivery.endpoint), Some(&delivery.tenant));
        for source in sources {
            let decoder = shared.decoder(source);
            let rematched = rematch(&decoder, &shared.directory, &record, tenant, scope, &delivery.run);
            let Ok(Some(rematched)) = self.unless_told(rematched).await? else { continue };
            let mut planned = rematched.deliveries.into_iter();
            // Where the topic was made anew, another event stands there now.
            let same = planned.find(|planned| planned.delivery().message_id == delivery.message_id);
            if let Some(ready @ Composed::Ready(_)) = same.map(Planned::composed) {
                let deliveries = vec![Planned::Composed(ready)];
                return Ok(Finding::Wanted(Wanted { sample, deliveries, traceparent, mark: Some(mark) }));
            }
        }
        Ok(Finding::Unavailable)
    }
}
