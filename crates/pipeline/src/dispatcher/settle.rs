//! Making a delivery's fate durable: its event and its hand-off are acknowledged, then it is settled.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use postrider_domain::{
    DeliveryEvent, DeliveryEventBody, ErrorClass, SourceCoordinates, Timestamp,
    delivery_event::{DeadLetter, DeadLettered, Held, HeldRange, HoldReason},
    tier::{Tier, Tiers},
};
use postrider_kafka::{Layout, ProduceError, Record, RejectReason, Sink, Topics, reject};

use super::{
    job::{Job, Origin},
    verdict::HandOff,
};
use crate::{burial::Burial, outgoing};

/// What of a process' deliveries may be sent and not acknowledged: past it no lane starts anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DoubtLimits {
    pub max_deliveries: usize,
    pub max_bytes: usize,
}

/// Writes what becomes of deliveries. Clones share the bound.
#[derive(Debug, Clone)]
pub(super) struct Settler<S> {
    sink: S,
    layout: Layout,
    burial: Burial<S>,
    topics: Arc<Names>,
    in_doubt: Arc<InDoubt>,
}

#[derive(Debug)]
struct Names {
    tiers: Vec<(Tier, Arc<str>)>,
    delivery_events: Arc<str>,
    held: Arc<str>,
    rejected: Arc<str>,
}

/// Deliveries whose fate is decided and not acknowledged.
#[derive(Debug)]
struct InDoubt {
    limits: DoubtLimits,
    deliveries: AtomicUsize,
    bytes: AtomicUsize,
}

/// One of them.
struct Doubt {
    of: Arc<InDoubt>,
    bytes: usize,
}

impl Doubt {
    fn new(of: &Arc<InDoubt>, bytes: usize) -> Self {
        of.deliveries.fetch_add(1, Ordering::Relaxed);
        of.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { of: of.clone(), bytes }
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.of.deliveries.fetch_sub(1, Ordering::Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl<S: Sink> Settler<S> {
    pub(super) fn new(sink: S, layout: Layout, topics: &Topics, tiers: &Tiers, limits: DoubtLimits) -> Self {
        let burial = Burial::new(sink.clone(), layout.clone(), topics);
        let topics = Names {
            tiers: tiers.iter().map(|tier| (tier.clone(), topics.retry(tier).into())).collect(),
            delivery_events: topics.delivery_events().into(),
            held: topics.held().into(),
            rejected: topics.rejected().into(),
        };
        let in_doubt = InDoubt { limits, deliveries: AtomicUsize::new(0), bytes: AtomicUsize::new(0) };
        Self { sink, layout, burial, topics: Arc::new(topics), in_doubt: Arc::new(in_doubt) }
    }

    /// Whether more may be sent, or read that may have to be written elsewhere. Half of the bound stops it: the other
    /// half is for what is in flight by then.
    pub(super) fn may_send(&self) -> bool {
        let InDoubt { limits, deliveries, bytes } = &*self.in_doubt;
        deliveries.load(Ordering::Relaxed) < limits.max_deliveries.div_ceil(2)
            && bytes.load(Ordering::Relaxed) < limits.max_bytes.div_ceil(2)
    }

    fn now(&self) -> Timestamp {
        self.sink.clock().now()
    }

    /// Writes the event and the hand-off of `job`, waits for both, then settles it. Answers its offset in the held
    /// topic, if it came from there.
    pub(super) async fn conclude(
        &self,
        job: Job,
        body: DeliveryEventBody,
        hand_off: HandOff,
    ) -> Result<Option<i64>, ProduceError> {
        let _doubt = Doubt::new(&self.in_doubt, job.value.len());
        let logged = self.log(&job, body);
        tokio::try_join!(logged, self.hand_over(&job, hand_off))?;
        Ok(match job.origin {
            Origin::Deliveries(_, token) => {
                token.settle();
                None
            }
            Origin::Held(at) => Some(at.offset),
        })
    }

    /// Tells the log what happened to a delivery that goes on.
    pub(super) fn log(
        &self,
        job: &Job,
        body: DeliveryEventBody,
    ) -> impl Future<Output = Result<(), ProduceError>> + use<S> {
        let event = self.event(job, body);
        let record = outgoing::delivery_event(&self.layout, &self.topics.delivery_events, &event);
        let sink = self.sink.clone();
        async move { sink.send(record).await.map(drop) }
    }

    /// That `body` happens now to a delivery, and where that was read.
    fn event(&self, job: &Job, body: DeliveryEventBody) -> DeliveryEvent {
        let mut event = DeliveryEvent::of(&job.delivery, &job.routing, self.now(), body);
        match &job.origin {
            Origin::Deliveries(at, _) => event.stored = Some(at.clone()),
            Origin::Held(at) => event.held = Some(at.clone()),
        }
        event
    }

    async fn hand_over(&self, job: &Job, hand_off: HandOff) -> Result<(), ProduceError> {
        match hand_off {
            HandOff::None => Ok(()),
            HandOff::Tier(tier, routing) => {
                let known = self.topics.tiers.iter().find(|(known, _)| *known == tier);
                let topic = known.expect("the tiers that decide are the tiers that exist").1.clone();
                let partition = self.layout.partition(&topic, job.delivery.endpoint.as_str());
                match self.sink.send(job.forward(topic, partition, &routing)).await {
                    Err(ProduceError::TooLarge { reason, .. }) => {
                        self.burial.too_large(job.delivery.clone(), &routing, reason).await
                    }
                    other => other.map(drop),
                }
            }
            HandOff::DeadLetter(letter) => self.burial.letter(&letter).await,
        }
    }

    /// Appends a delivery to the held topic, tells the log where, and settles it. Answers its offset there; none if
    /// no topic takes it, and it was given up.
    pub(super) async fn hold(
        &self,
        mut job: Job,
        partition: i32,
        reason: HoldReason,
    ) -> Result<Option<i64>, ProduceError> {
        job.memory = None;
        let record = job.to_hold(self.topics.held.clone(), partition);
        let appended = match self.sink.send(record).await {
            Ok(ack) => Some(ack.offset),
            Err(ProduceError::TooLarge { reason, .. }) => {
                self.burial.too_large(job.delivery.clone(), &job.routing, reason).await?;
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(offset) = appended {
            let mut event = self.event(&job, DeliveryEventBody::Held(Held { reason }));
            event.held = Some(SourceCoordinates { topic: self.topics.held.clone(), partition, offset });
            self.sink.send(outgoing::delivery_event(&self.layout, &self.topics.delivery_events, &event)).await?;
            metrics::counter!("postrider_held_appended_total", "reason" => reason.as_str()).increment(1);
        }
        if let Origin::Deliveries(_, token) = job.origin {
            token.settle();
        }
        Ok(appended)
    }

    /// Tells the log of the end of many held deliveries.
    pub(super) async fn end_range(&self, range: HeldRange) -> Result<(), ProduceError> {
        let record = outgoing::held_range(&self.layout, &self.topics.delivery_events, &range);
        self.sink.send(record).await.map(drop)
    }

    /// Gives up a delivery that was never sent: its dead letter and its event are written.
    pub(super) async fn give_up(&self, job: Job, error: ErrorClass, why: &str) -> Result<Option<i64>, ProduceError> {
        let letter = DeadLetter::before_attempt(job.delivery.clone(), &job.routing, error, why.to_owned(), self.now());
        let body = DeliveryEventBody::DeadLettered(DeadLettered { error, error_message: Some(why.to_owned()) });
        self.conclude(job, body, HandOff::DeadLetter(Box::new(letter))).await
    }

    /// Writes a record that can't be understood to the rejected topic.
    pub(super) async fn reject(&self, record: &Record, message: &str) -> Result<(), ProduceError> {
        reject(&self.sink, &self.topics.rejected, record, RejectReason::Corrupt, message).await
    }
}
