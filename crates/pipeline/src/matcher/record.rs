//! One record of a source, from its bytes to the acknowledgement of all its deliveries.
//!
//! What a record leads to is looked up when it is taken, in the order of offsets ([`RecordMatcher::look`]); writing it
//! ([`RecordMatcher::finish`]) may overtake. So the directory that a partition is matched by never goes back.

use std::sync::Arc;

use futures::future::try_join_all;
use metrics::Counter;
use postrider_domain::{
    Attempt, Delivery, DirectoryVersion, Event, Routing, Run, Subscription, Timestamp, endpoint::BodyStyle,
    envelope::MAX_BODY_BYTES,
};
use postrider_kafka::{Inbound, Layout, ProduceError, Record, SettleToken, Sink, Topics, reject};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    announce::{Board, Seen},
    decode::{Rejection, decode, traceparent},
    dedupe::{Admitted, Dedupe},
    matching::{self, Scope},
    source::SourceConfig,
};
use crate::{burial::Burial, directory::Directory, outgoing};

/// Deliveries of one event that are written at a time.
const MAX_FAN_OUT: usize = 256;
/// Memory for deliveries that are written and not acknowledged, for each source.
const MAX_IN_FLIGHT_BYTES: usize = 32 * 1024 * 1024;
/// The unit in which it is counted.
const MEMORY_UNIT_BYTES: usize = 1_024;

/// What a record is.
#[derive(Debug)]
pub(super) enum Looked {
    /// An event, and the subscription that decides for each endpoint that gets it.
    Event { event: Box<Event>, deciding: Vec<Arc<Subscription>>, seen: Seen },
    /// A record without a value.
    Empty,
    /// No event.
    Rejected(Rejection),
}

impl Looked {
    /// The directory that it was matched by, if it was.
    pub(super) fn seen(&self) -> Option<Seen> {
        match self {
            Self::Event { seen, .. } => Some(*seen),
            Self::Empty | Self::Rejected(_) => None,
        }
    }
}

/// A record whose work is durable elsewhere.
#[derive(Debug)]
pub(super) struct Matched {
    pub offset: i64,
    /// The directory's version that it was matched by, if it was.
    pub version: Option<DirectoryVersion>,
    token: SettleToken,
    admitted: Option<Admitted>,
}

impl Matched {
    /// Settles the record; from now on others with its event are duplicates.
    pub(super) fn settle(self, now: Timestamp) {
        self.token.settle();
        if let Some(admitted) = self.admitted {
            admitted.settled(now);
        }
    }
}

/// Matches the records of one source.
#[derive(Debug)]
pub(super) struct RecordMatcher<S> {
    source: SourceConfig,
    directory: Directory,
    layout: Layout,
    board: Board<S>,
    sink: S,
    deliveries: Arc<str>,
    burial: Burial<S>,
    rejected: Arc<str>,
    /// In units.
    memory: Semaphore,
    counters: Counters,
}

/// What is counted of a source.
#[derive(Debug)]
struct Counters {
    matched: Counter,
    unmatched: Counter,
    rejected: Counter,
    empty: Counter,
    duplicate: Counter,
    deliveries: Counter,
}

impl Counters {
    fn new(source: &str) -> Self {
        let events = |outcome: &'static str| metrics::counter!("postrider_matcher_events_total", "source" => source.to_owned(), "outcome" => outcome);
        Self {
            matched: events("matched"),
            unmatched: events("unmatched"),
            rejected: events("rejected"),
            empty: events("empty"),
            duplicate: events("duplicate"),
            deliveries: metrics::counter!("postrider_matcher_deliveries_total", "source" => source.to_owned()),
        }
    }
}

impl<S: Sink> RecordMatcher<S> {
    pub(super) fn new(source: SourceConfig, topics: &Topics, layout: &Layout, directory: &Directory, sink: S) -> Self {
        Self {
            counters: Counters::new(&source.name),
            board: Board::new(sink.clone(), layout.clone(), topics, &source.name),
            source,
            directory: directory.clone(),
            layout: layout.clone(),
            burial: Burial::new(sink.clone(), layout.clone(), topics),
            sink,
            deliveries: topics.deliveries().into(),
            rejected: topics.rejected().into(),
            memory: Semaphore::new(MAX_IN_FLIGHT_BYTES / MEMORY_UNIT_BYTES),
        }
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Where it says from which offsets on new subscriptions are matched.
    pub(super) fn board(&self) -> Board<S> {
        self.board.clone()
    }

    /// Broker time.
    pub(super) fn now(&self) -> Timestamp {
        self.sink.clock().now()
    }

    /// What a partition remembers of its events, from the beginning.
    pub(super) fn dedupe(&self) -> Option<Dedupe> {
        self.source.dedupe.map(Dedupe::new)
    }

    /// What the record is, and who decides about it by the directory as it is now.
    pub(super) fn look(&self, record: &Record) -> Looked {
        match decode(&self.source, record) {
            Ok(Some(event)) => {
                let candidates = self.directory.candidates(&event.tenant, &event.event_type);
                let seen = Seen { version: candidates.version, grown: candidates.grown };
                let deciding = matching::deciding(&event, candidates.subscriptions, Scope::All);
                Looked::Event { event: Box::new(event), deciding, seen }
            }
            Ok(None) => Looked::Empty,
            Err(rejection) => Looked::Rejected(rejection),
        }
    }

    /// Writes all that the record leads to, and answers it, to be settled.
    pub(super) async fn finish(
        self: Arc<Self>,
        inbound: Inbound,
        looked: Looked,
        dedupe: Option<Dedupe>,
    ) -> Result<Matched, ProduceError> {
        let Inbound { record, token } = inbound;
        let (offset, version) = (record.offset, looked.seen().map(|seen| seen.version));
        let mut admitted = None;
        match looked {
            Looked::Event { event, deciding, seen } => {
                if let Some(dedupe) = dedupe {
                    admitted = dedupe.admit(&event, record.offset, || self.now()).await;
                    if admitted.is_none() {
                        self.counters.duplicate.increment(1);
                        return Ok(Matched { offset, version, token, admitted });
                    }
                }
                self.deliver(&event, deciding, seen.version, &record).await?;
            }
            Looked::Empty => self.counters.empty.increment(1),
            Looked::Rejected(rejection) => {
                self.counters.rejected.increment(1);
                reject(&self.sink, &self.rejected, &record, rejection.reason, &rejection.message).await?;
            }
        }
        Ok(Matched { offset, version, token, admitted })
    }

    async fn deliver(
        &self,
        event: &Event,
        deciding: Vec<Arc<Subscription>>,
        version: DirectoryVersion,
        record: &Record,
    ) -> Result<(), ProduceError> {
        if deciding.is_empty() {
            self.counters.unmatched.increment(1);
            return Ok(());
        }
        let routing = Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: self.sink.clock().now(),
            version: Some(version),
            generation: 0,
            traceparent: traceparent(&record.headers),
        };
        let mut bodies = matching::Bodies::of(event);
        for subscriptions in deciding.chunks(MAX_FAN_OUT) {
            let delivery = |subscription: &Arc<Subscription>| {
                matching::delivery(
                    event,
                    bodies.in_style(style(&self.directory, subscription)),
                    subscription,
                    Run::LIVE,
                )
            };
            let deliveries: Vec<Delivery> = subscriptions.iter().map(delivery).collect();
            let _memory = self.memory_for(deliveries.iter().map(|delivery| delivery.body.len()).sum()).await;
            try_join_all(deliveries.into_iter().map(|delivery| self.send(delivery, &routing))).await?;
        }
        self.counters.matched.increment(1);
        self.counters.deliveries.increment(deciding.len() as u64);
        Ok(())
    }

    /// Waits for room for so many bytes; more than there is in all is let through alone.
    async fn memory_for(&self, bytes: usize) -> SemaphorePermit<'_> {
        let units = bytes.min(MAX_IN_FLIGHT_BYTES).div_ceil(MEMORY_UNIT_BYTES);
        let units = u32::try_from(units).expect("all the memory is less than 2^32 units");
        self.memory.acquire_many(units).await.expect("the semaphore is never closed")
    }

    async fn send(&self, delivery: Delivery, routing: &Routing) -> Result<(), ProduceError> {
        let bytes = delivery.body.len();
        if bytes > MAX_BODY_BYTES {
            let message = format!("the body has {bytes} bytes; at most {MAX_BODY_BYTES} are sent");
            return self.burial.too_large(delivery, routing, message).await;
        }
        let record = outgoing::delivery(&self.layout, &self.deliveries, &delivery, routing);
        match self.sink.send(record).await {
            Err(ProduceError::TooLarge { reason, .. }) => self.burial.too_large(delivery, routing, reason).await,
            other => other.map(drop),
        }
    }
}

/// What body the subscription's endpoint asks for. One that is not known here may have any: it was deleted.
pub(super) fn style(directory: &Directory, subscription: &Subscription) -> BodyStyle {
    directory.endpoint(&subscription.endpoint).map(|endpoint| endpoint.settings.body).unwrap_or_default()
}
