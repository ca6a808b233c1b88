//! One record of a source, from its bytes to the acknowledgement of all its deliveries.
//!
//! What a record leads to is looked up when it is taken, in the order of offsets ([`RecordMatcher::look`]); writing it
//! ([`RecordMatcher::finish`]) may overtake. So the directory that a partition is matched by never goes back.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use postrider_domain::{
    Attempt, DirectoryVersion, Event, Routing, Run, Subscription, Timestamp,
    endpoint::BodyStyle,
    envelope::{MAX_BODY_BYTES, Rendered},
    filter::EventView,
};
use postrider_kafka::{Inbound, Layout, ProduceError, Record, SettleToken, Sink, Topics, reject_of_source};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    announce::{Board, Seen},
    avro::Decoder,
    counters::Counters,
    decode::{Decoded, Rejection, traceparent},
    dedupe::{Admitted, Dedupe},
    kept::{Keep, Kept},
    matching::{self, Bodies, Composed, Scope},
    validation::Validator,
};
use crate::{burial::Burial, directory::Directory, outgoing};

/// Deliveries of one event that are written at a time.
const MAX_FAN_OUT: usize = 256;
/// Those of them that are mapped at a time.
const MAX_MAPPED: usize = 8;
/// Memory for deliveries that are written and not acknowledged, for each source.
const MAX_IN_FLIGHT_BYTES: usize = 32 * 1024 * 1024;
/// The unit in which it is counted.
const MEMORY_UNIT_BYTES: usize = 1_024;
/// About what a delivery or an event takes beside its payload.
const OVERHEAD_BYTES: usize = 1_024;

/// What a record leads to. It has no value if there is neither an event nor a rejection.
#[derive(Debug)]
pub(super) struct Looked {
    /// Its events.
    pub events: Vec<LookedEvent>,
    /// What it has that is no event.
    pub rejections: Vec<Rejection>,
}

/// An event, and the subscription that decides for each endpoint that gets it.
#[derive(Debug)]
pub(super) struct LookedEvent {
    pub event: Event,
    pub deciding: Vec<Arc<Subscription>>,
    /// The directory that it was matched by.
    pub seen: Seen,
    /// What its mappings need not parse again.
    pub kept: Option<Kept>,
}

impl Looked {
    /// The oldest directory that something of it was matched by, if something was: so no backfill ends behind an event
    /// that was matched before its subscription was known.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.events.first().map(|first| first.seen)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.events.iter().map(|looked| bytes(&looked.event)).sum()
    }

    /// The version of the newest.
    fn version(&self) -> Option<DirectoryVersion> {
        self.events.last().map(|last| last.seen.version)
    }
}

/// A record whose work is durable elsewhere.
#[derive(Debug)]
pub(super) struct Matched {
    pub offset: i64,
    /// The directory's version that it was matched by, if it was.
    pub version: Option<DirectoryVersion>,
    token: SettleToken,
    admitted: Vec<Admitted>,
}

impl Matched {
    /// Settles the record; from now on others with its events are duplicates.
    pub(super) fn settle(self, now: Timestamp) {
        self.token.settle();
        for admitted in self.admitted {
            admitted.settled(now);
        }
    }
}

/// Matches the records of one source.
#[derive(Debug)]
pub(super) struct RecordMatcher<S> {
    decoder: Decoder,
    directory: Directory,
    layout: Layout,
    topics: Topics,
    validator: Validator,
    sink: S,
    deliveries: Arc<str>,
    burial: Burial<S>,
    rejected: Arc<str>,
    /// In units.
    memory: Semaphore,
    keep: Keep,
    counters: Counters,
}

impl<S: Sink> RecordMatcher<S> {
    pub(super) fn new(decoder: Decoder, topics: &Topics, layout: &Layout, directory: &Directory, sink: S) -> Self {
        Self {
            counters: Counters::new(&decoder.source().name),
            validator: Validator::new(&decoder.source().name),
            topics: topics.clone(),
            decoder,
            directory: directory.clone(),
            layout: layout.clone(),
            burial: Burial::new(sink.clone(), layout.clone(), topics),
            sink,
            deliveries: topics.deliveries().into(),
            rejected: topics.rejected().into(),
            memory: Semaphore::new(MAX_IN_FLIGHT_BYTES / MEMORY_UNIT_BYTES),
            keep: Keep::new(),
        }
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Where it says from which offsets on new subscriptions are matched in a topic.
    pub(super) fn board(&self, topic: &str) -> Board<S> {
        Board::new(self.sink.clone(), self.layout.clone(), &self.topics, &self.decoder.source().reference(topic))
    }

    /// Broker time.
    pub(super) fn now(&self) -> Timestamp {
        self.sink.clock().now()
    }

    /// What a partition remembers of its events, from the beginning.
    pub(super) fn dedupe(&self) -> Option<Dedupe> {
        self.decoder.source().dedupe.map(Dedupe::new)
    }

    /// What tells the events of records.
    pub(super) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Who decides about a record's events by the directory as it is now, and which are rejected by their types.
    pub(super) fn look(&self, decoded: Decoded) -> Looked {
        let Decoded { events, mut rejections } = decoded;
        let mut looked = Vec::with_capacity(events.len());
        for event in events {
            let view = EventView::new(&event);
            if let Some(rejection) = self.validator.check(&self.directory, &view, || self.now()) {
                rejections.push(rejection);
                continue;
            }
            let candidates = self.directory.candidates(&view);
            let seen = Seen { version: candidates.version, grown: candidates.grown };
            let deciding = matching::deciding(&view, candidates.subscriptions, Scope::All);
            let kept = self.keep.keep(view, &deciding);
            looked.push(LookedEvent { event, deciding, seen, kept });
        }
        Looked { events: looked, rejections }
    }

    /// Writes all that the record leads to, and answers it, to be settled.
    pub(super) async fn finish(
        self: Arc<Self>,
        inbound: Inbound,
        mut looked: Looked,
        dedupe: Option<Dedupe>,
    ) -> Result<Matched, ProduceError> {
        let Inbound { record, token } = inbound;
        let (offset, version) = (record.offset, looked.version());
        self.counters.records.increment(1);
        if looked.events.is_empty() && looked.rejections.is_empty() {
            self.counters.empty.increment(1);
        }
        let mut admitted = Vec::new();
        if let Some(dedupe) = dedupe {
            admitted = self.admit(&dedupe, &mut looked.events, offset).await;
        }
        // Begun in the order of the events, so that they are written in it.
        let delivered = looked.events.into_iter().map(|looked| {
            let record = &record;
            let this = &self;
            async move { this.deliver(looked, record).await }
        });
        try_join_all(delivered).await?;
        if let Some(first) = looked.rejections.first() {
            self.counters.rejected.increment(looked.rejections.len() as u64);
            let message = match looked.rejections.len() - 1 {
                0 => first.message.clone(),
                more => format!("{}; and {more} more of its events", first.message),
            };
            let source = &self.decoder.source().name;
            reject_of_source(&self.sink, &self.rejected, &record, source, first.reason, &message).await?;
        }
        Ok(Matched { offset, version, token, admitted })
    }

    /// Leaves those of a record's events that are no duplicates, once that is known.
    async fn admit(&self, dedupe: &Dedupe, events: &mut Vec<LookedEvent>, offset: i64) -> Vec<Admitted> {
        let count = events.len();
        // In one order in all records, so that no two wait for each other; of the same event, the first.
        let mut order: Vec<usize> = (0..count).collect();
        let id = |index: usize| (&events[index].event.tenant, &events[index].event.id);
        order.sort_by_key(|index| id(*index));
        order.dedup_by_key(|index| id(*index));
        let (mut admitted, mut new) = (Vec::new(), vec![false; count]);
        for index in order {
            if let Some(taken) = dedupe.admit(&events[index].event, offset, || self.now()).await {
                admitted.push(taken);
                new[index] = true;
            }
        }
        self.counters.duplicate.increment((count - admitted.len()) as u64);
        let mut new = new.into_iter();
        events.retain(|_| new.next().expect("there is one for each"));
        admitted
    }

    async fn deliver(&self, looked: LookedEvent, record: &Record) -> Result<(), ProduceError> {
        let LookedEvent { event, deciding, seen, mut kept } = looked;
        if deciding.is_empty() {
            self.counters.unmatched.increment(1);
            return Ok(());
        }
        let routing = Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: self.sink.clock().now(),
            version: Some(seen.version),
            generation: 0,
            priority: self.decoder.source().priority,
            traceparent: traceparent(&record.headers),
        };
        let mut bodies = Bodies::of(&event);
        for subscriptions in deciding.chunks(MAX_FAN_OUT) {
            let (mut plain, mut mapped) = (Vec::new(), Vec::new());
            for subscription in subscriptions {
                let rendered = bodies.of_subscription(subscription, style(&self.directory, subscription));
                if subscription.mapping.is_some() {
                    mapped.push((&**subscription, rendered));
                } else {
                    plain.push((&**subscription, rendered));
                }
            }
            let mapped = mapped.chunks(MAX_MAPPED).map(|some| self.send_mapped(&event, kept.take(), some, &routing));
            tokio::try_join!(self.send_plain(&event, plain, &routing), try_join_all(mapped))?;
        }
        self.counters.matched.increment(1);
        self.counters.deliveries.increment(deciding.len() as u64);
        Ok(())
    }

    /// Writes deliveries whose bodies are known, and mostly shared. They are made once there is room for them.
    async fn send_plain(
        &self,
        event: &Event,
        plain: Vec<(&Subscription, Rendered)>,
        routing: &Routing,
    ) -> Result<(), ProduceError> {
        let needed = plain.iter().map(|(_, rendered)| rendered.body.len() + OVERHEAD_BYTES).sum();
        let _memory = self.memory_for(needed).await;
        let sent = plain.into_iter().map(|(subscription, rendered)| {
            let delivery = matching::delivery(event, rendered, subscription, Run::LIVE);
            self.send(Composed::Ready(delivery), routing)
        });
        try_join_all(sent).await.map(drop)
    }

    /// Maps an event for some subscriptions, and writes what comes of it. It is mapped once there is room for the
    /// largest bodies; room that they do not need is given back at once, and the parsed event with it.
    async fn send_mapped(
        &self,
        event: &Event,
        kept: Option<Kept>,
        subscriptions: &[(&Subscription, Rendered)],
        routing: &Routing,
    ) -> Result<(), ProduceError> {
        let mut memory = self.memory_for(subscriptions.len() * MAX_BODY_BYTES).await;
        let composed: Vec<Composed> = {
            let view = Kept::view(kept, event);
            let compose = |(subscription, rendered): &(&Subscription, Rendered)| {
                matching::compose(&view, rendered.clone(), subscription, Run::LIVE)
            };
            subscriptions.iter().map(compose).collect()
        };
        let needed: usize = composed.iter().map(|composed| composed.delivery().body.len() + OVERHEAD_BYTES).sum();
        drop(memory.split(memory.num_permits().saturating_sub(needed.div_ceil(MEMORY_UNIT_BYTES))));
        try_join_all(composed.into_iter().map(|composed| self.send(composed, routing))).await.map(drop)
    }

    /// Waits for room for so many bytes; more than there is in all is let through alone.
    async fn memory_for(&self, bytes: usize) -> SemaphorePermit<'_> {
        let units = bytes.min(MAX_IN_FLIGHT_BYTES).div_ceil(MEMORY_UNIT_BYTES);
        let units = u32::try_from(units).expect("all the memory is less than 2^32 units");
        self.memory.acquire_many(units).await.expect("the semaphore is never closed")
    }

    async fn send(&self, composed: Composed, routing: &Routing) -> Result<(), ProduceError> {
        let delivery = match composed {
            Composed::Ready(delivery) => delivery,
            Composed::Unmapped(unmapped) => return self.burial.unmapped(unmapped, routing).await,
        };
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

/// About how much memory an event takes.
fn bytes(event: &Event) -> usize {
    let texts = [&event.producer_id, &event.subject, &event.ordering_key].into_iter().flatten().map(String::len);
    let previous = event.previous.as_ref().map_or(0, Bytes::len);
    event.data.len() + previous + texts.sum::<usize>() + OVERHEAD_BYTES
}

/// What body the subscription's endpoint asks for. One that is not known here may have any: it was deleted.
pub(super) fn style(directory: &Directory, subscription: &Subscription) -> BodyStyle {
    directory.endpoint(&subscription.endpoint).map(|endpoint| endpoint.settings.body).unwrap_or_default()
}
