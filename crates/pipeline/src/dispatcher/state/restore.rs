//! How a new owner learns what its predecessors knew, and makes itself known.

use std::{collections::HashMap, sync::Arc};

use postrider_domain::{
    EndpointId,
    endpoint_state::{EndpointState, StateTerm},
};
use postrider_kafka::{CursorEvent, Layout, PartitionCursor, ProduceError, Record, RejectReason, Sink, Topics, reject};

use super::{
    StateBudget,
    entry::{Entry, Form, decode},
    journal::{Journal, Writer},
    known::Known,
};

/// Why a partition's state can't be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What has to be written will never be written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The partition was opened a second time, or its reader ended.
    #[error("partition {partition} of {topic} is not read any more: it was opened again")]
    Closed {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
}

/// Reads the partition from where `cursor` is, which is its beginning, to its end, writes a term that is higher than
/// any, and reads on until it sees its own. `owner` is random. Answers the journal, which goes on from there, and what
/// is known of each endpoint.
///
/// What can't be read, or comes from an owner that had been replaced, makes its endpoint hold deliveries from
/// `companion_start` on, the committed offset of the held topic's partition.
#[expect(clippy::too_many_arguments, reason = "each is one thing that a journal is made of")]
pub(in crate::dispatcher) async fn restore<S: Sink>(
    cursor: PartitionCursor,
    sink: S,
    layout: &Layout,
    topics: &Topics,
    partition: i32,
    companion_start: Option<i64>,
    owner: i64,
    budget: Arc<StateBudget>,
) -> Result<(Journal<S>, HashMap<EndpointId, EndpointState>), RestoreError> {
    let mut reading = Reading::begin(cursor, sink, layout, topics, partition);
    while reading.next().await? {}
    let mut term = reading.announce(owner).await?;
    while !reading.known.is_owner(term) {
        reading.next().await?;
        // Somebody else took it in the meantime, or a higher one: two owners must not write under one term.
        if reading.known.is_taken(term) {
            term = reading.announce(owner).await?;
        }
    }
    let Reading { cursor, writer, known } = reading;
    let restored = known.restore(term.term, companion_start.unwrap_or(0));
    let states = restored.states.clone();
    Ok((Journal::new(cursor, writer, term, restored, budget), states))
}

/// What the owners of a partition that nobody owns any more remembered, for an owner in another generation: as
/// [`restore`], but the partition is not taken over.
pub(crate) async fn inherit<S: Sink>(
    cursor: PartitionCursor,
    sink: S,
    layout: &Layout,
    companion_start: Option<i64>,
) -> Result<HashMap<EndpointId, EndpointState>, RestoreError> {
    let partition = cursor.partition();
    let mut reading = Reading::begin(cursor, sink, layout, layout.topics(), partition);
    while reading.next().await? {}
    Ok(reading.known.restore(FIRST_TERM, companion_start.unwrap_or(0)).states)
}

/// Of what is written before a partition has its first owner.
const FIRST_TERM: i64 = 0;

struct Reading<S> {
    cursor: PartitionCursor,
    writer: Writer<S>,
    known: Known,
}

impl<S: Sink> Reading<S> {
    fn begin(cursor: PartitionCursor, sink: S, layout: &Layout, topics: &Topics, partition: i32) -> Self {
        let form = Form { codec: layout.codec().clone(), topic: cursor.topic().clone(), partition };
        let writer = Writer { sink, form, rejected: topics.rejected().into() };
        Self { cursor, writer, known: Known::default() }
    }

    /// Takes note of what comes next. Answers false at the end of the partition.
    async fn next(&mut self) -> Result<bool, RestoreError> {
        match self.cursor.next().await {
            Some(CursorEvent::Record(record)) => {
                self.take(&record).await?;
                Ok(true)
            }
            Some(CursorEvent::OutOfRange { .. }) => Ok(true),
            Some(CursorEvent::EndOfPartition { .. }) => Ok(false),
            None => {
                Err(RestoreError::Closed { topic: self.cursor.topic().clone(), partition: self.cursor.partition() })
            }
        }
    }

    async fn take(&mut self, record: &Record) -> Result<(), ProduceError> {
        let codec = &self.writer.form.codec;
        let entry = loop {
            match decode(record, codec) {
                Ok(entry) => break entry,
                Err(fingerprint) => {
                    tracing::warn!(
                        topic = &*record.topic,
                        partition = record.partition,
                        "the partition's state waits for schema {fingerprint} to be published"
                    );
                    codec.learned(fingerprint).await;
                }
            }
        };
        if let Entry::Corrupt(_, message) = &entry {
            reject(&self.writer.sink, &self.writer.rejected, record, RejectReason::Corrupt, message).await?;
        }
        self.known.apply(entry);
        Ok(())
    }

    async fn announce(&mut self, owner: i64) -> Result<StateTerm, ProduceError> {
        let term = StateTerm { term: self.known.highest_term() + 1, owner };
        self.writer.sink.send(self.writer.form.term(&term)).await?;
        Ok(term)
    }
}
