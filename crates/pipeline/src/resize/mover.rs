//! Copies what is not done of one partition into the next generation's topics.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    poll,
    stream::FuturesOrdered,
};
use postrider_domain::{
    DeliveryEvent, DeliveryEventBody, EndpointId, SourceCoordinates,
    delivery_event::{Held, HoldReason},
    endpoint_state::EndpointState,
};
use postrider_kafka::{Ack, CursorEvent, GroupPosition, Layout, Outgoing, PartitionCursor, ProduceError, Record, Sink};
use tokio::task::coop::unconstrained;

use super::undone::{Copies, Disordered, Holder, Undone};
use crate::{
    dispatcher::{Form, RestoreError, decode, inherit, lowest_holding},
    outgoing,
};

/// Copies that may be written and not acknowledged.
const MAX_IN_FLIGHT: usize = 1_000;
/// Their bytes, at most; one more is let through.
const MAX_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;

/// Why a partition could not be copied. Nothing is lost by it: the resize is begun anew.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// What is known of its endpoints can't be read.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A copy will never be written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The order of copies is not that of what was copied.
    #[error("the brokers appended copies to partition {partition} in another order than they were sent")]
    Disordered {
        /// Of the next generation.
        partition: i32,
    },
    /// A reader ended.
    #[error("partition {partition} of {topic} is not read any more")]
    Closed {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
}

/// How much was copied so far.
#[derive(Debug, Default)]
pub struct Moved {
    /// Deliveries that were not settled.
    pub deliveries: AtomicU64,
    /// Held deliveries.
    pub held: AtomicU64,
    /// Endpoints' states.
    pub states: AtomicU64,
}

/// One partition of the generation in use, which nobody works on.
#[derive(Debug)]
pub struct Source {
    /// Of the deliveries.
    pub deliveries: PartitionCursor,
    /// Of what is held.
    pub held: PartitionCursor,
    /// Of the endpoints' states, at its beginning.
    pub state: PartitionCursor,
    /// What the dispatchers have settled of it.
    pub position: GroupPosition,
}

/// Copies partitions from one generation to another.
#[derive(Debug)]
pub struct Mover<S> {
    sink: S,
    from: Layout,
    to: Layout,
    moved: Arc<Moved>,
}

impl<S: Sink> Mover<S> {
    /// Copies nothing yet.
    pub fn new(sink: S, from: Layout, to: Layout) -> Self {
        Self { sink, from, to, moved: Arc::default() }
    }

    /// How much was copied so far.
    pub fn moved(&self) -> Arc<Moved> {
        self.moved.clone()
    }

    /// Copies what is not done of a partition, in order; the endpoints' states last, once what they tell of is
    /// acknowledged.
    pub async fn copy(&self, source: Source) -> Result<(), MoveError> {
        let Source { deliveries, held, state, position } = source;
        let states = inherit(state, self.sink.clone(), &self.from, position.companion).await?;
        self.copy_deliveries(deliveries, &position).await?;
        let copies = self.copy_held(held, &states).await?;
        self.copy_states(states, &copies).await
    }

    async fn copy_deliveries(&self, mut cursor: PartitionCursor, position: &GroupPosition) -> Result<(), MoveError> {
        let topic: Arc<str> = self.to.topics().deliveries().into();
        let mut copying = Copying::default();
        cursor.seek(position.offset.unwrap_or(0));
        while let Some(record) = next_before_end(&mut cursor).await? {
            if position.done.contains(record.offset) {
                continue;
            }
            let sink = self.sink.clone();
            let (copy, bytes) = (self.copy_of(&record, &topic), record.size());
            let written = async move { Ok((None, sink.send(copy).await?)) };
            copying.begin(written.boxed(), bytes).await?;
            self.moved.deliveries.fetch_add(1, Ordering::Relaxed);
        }
        copying.finish().await.map(drop)
    }

    async fn copy_held(
        &self,
        mut cursor: PartitionCursor,
        states: &HashMap<EndpointId, EndpointState>,
    ) -> Result<Copies, MoveError> {
        let mut copying = Copying::default();
        let Some(start) = lowest_holding(states) else { return Ok(copying.copies) };
        let topic: Arc<str> = self.to.topics().held().into();
        let undone = Undone::of(states.values());
        cursor.seek(start);
        while let Some(record) = next_before_end(&mut cursor).await? {
            let Some(holder) = undone.holder_of(&record) else { continue };
            let (sink, copy) = (self.sink.clone(), self.copy_of(&record, &topic));
            let (bytes, event) = (record.size(), self.event_of(&record));
            let (layout, log, topic) = (self.to.clone(), self.to.topics().delivery_events().into(), topic.clone());
            let written = async move {
                let ack = sink.send(copy).await?;
                if let Some(mut event) = event {
                    event.held = Some(SourceCoordinates { topic, partition: ack.partition, offset: ack.offset });
                    sink.send(outgoing::delivery_event(&layout, &log, &event)).await?;
                }
                Ok((Some(holder), ack))
            };
            copying.begin(written.boxed(), bytes).await?;
            self.moved.held.fetch_add(1, Ordering::Relaxed);
        }
        copying.finish().await
    }

    async fn copy_states(&self, states: HashMap<EndpointId, EndpointState>, copies: &Copies) -> Result<(), MoveError> {
        let topic: Arc<str> = self.to.topics().endpoint_state().into();
        let mut copying = Copying::default();
        for (endpoint, state) in states {
            let partition = self.to.partition(&topic, endpoint.as_str());
            let state = copies.state(state, partition);
            if state.is_empty() {
                continue;
            }
            let form = Form { codec: self.to.codec().clone(), topic: topic.clone(), partition };
            let (sink, record) = (self.sink.clone(), form.state(&state));
            let bytes = record.value.as_ref().map_or(0, Bytes::len);
            let written = async move { Ok((None, sink.send(record).await?)) };
            copying.begin(written.boxed(), bytes).await?;
            self.moved.states.fetch_add(1, Ordering::Relaxed);
        }
        copying.finish().await.map(drop)
    }

    /// The record, byte for byte, where its endpoint has its home in the next generation.
    fn copy_of(&self, record: &Record, topic: &Arc<str>) -> Outgoing {
        Outgoing {
            topic: topic.clone(),
            partition: Some(self.to.partition(topic, record.key_str().unwrap_or_default())),
            key: record.key.clone().unwrap_or_default(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        }
    }

    /// What the log is told of a held record's new place; nothing of one that only its endpoint's owner can deal with.
    fn event_of(&self, record: &Record) -> Option<DeliveryEvent> {
        let (delivery, routing) = decode(record, self.from.codec()).ok()?;
        let body = DeliveryEventBody::Held(Held { reason: HoldReason::Backlog });
        Some(DeliveryEvent::of(&delivery, &routing, self.sink.clock().now(), body))
    }
}

async fn next_before_end(cursor: &mut PartitionCursor) -> Result<Option<Record>, MoveError> {
    loop {
        match cursor.next().await {
            Some(CursorEvent::Record(record)) => return Ok(Some(record)),
            Some(CursorEvent::EndOfPartition { .. }) => return Ok(None),
            // What retention took is gone for everybody.
            Some(CursorEvent::OutOfRange { .. }) => {}
            None => {
                return Err(MoveError::Closed { topic: cursor.topic().clone(), partition: cursor.partition() });
            }
        }
    }
}

type Written = Result<(Option<Holder>, Ack), ProduceError>;

/// Copies that are being written.
#[derive(Default)]
struct Copying {
    writes: FuturesOrdered<BoxFuture<'static, (Written, usize)>>,
    bytes: usize,
    copies: Copies,
}

impl Copying {
    /// Begins to write a copy: it is handed to the client before the next one.
    async fn begin(&mut self, write: BoxFuture<'static, Written>, bytes: usize) -> Result<(), MoveError> {
        while self.writes.len() >= MAX_IN_FLIGHT || self.bytes >= MAX_IN_FLIGHT_BYTES {
            self.next().await?;
        }
        self.bytes += bytes;
        // Asked once at once, and not put off because this task has done much: clients take records in the order in
        // which they are asked, and FuturesOrdered asks in any.
        let mut write = unconstrained(write.map(move |written| (written, bytes))).boxed();
        let begun = match poll!(&mut write) {
            std::task::Poll::Ready(written) => ready(written).boxed(),
            std::task::Poll::Pending => write,
        };
        self.writes.push_back(begun);
        Ok(())
    }

    /// Waits for the oldest. Answers false if there is none.
    async fn next(&mut self) -> Result<bool, MoveError> {
        let Some((written, bytes)) = self.writes.next().await else { return Ok(false) };
        self.bytes -= bytes;
        let (holder, Ack { partition, offset, .. }) = written?;
        self.copies.add(holder, partition, offset).map_err(|Disordered| MoveError::Disordered { partition })?;
        Ok(true)
    }

    async fn finish(mut self) -> Result<Copies, MoveError> {
        while self.next().await? {}
        Ok(self.copies)
    }
}
