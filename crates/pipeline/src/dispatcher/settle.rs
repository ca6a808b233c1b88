//! Making a delivery's fate durable: its event and its hand-off are acknowledged, then it is settled.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{
    Attempt, Delivery, DeliveryEvent, DeliveryEventBody, ErrorClass, Routing, delivery_event::DeadLetter, tier::Tier,
    tier::Tiers,
};
use postrider_kafka::{Layout, ProduceError, Record, RejectReason, SettleToken, Sink, Topics, reject};
use tokio::sync::Semaphore;

use super::{job::Job, verdict::HandOff};
use crate::outgoing;

/// Writes what becomes of deliveries. Clones share the bound.
#[derive(Debug, Clone)]
pub(super) struct Settler<S> {
    sink: S,
    layout: Layout,
    tiers: Vec<(Tier, Arc<str>)>,
    delivery_events: Arc<str>,
    dlq: Arc<str>,
    rejected: Arc<str>,
    /// Deliveries whose fate is decided and not acknowledged.
    in_doubt: Arc<Semaphore>,
}

impl<S: Sink> Settler<S> {
    /// At most `max_in_doubt` deliveries of the process may be sent and not acknowledged in the log or hand-off.
    pub(super) fn new(sink: S, layout: Layout, topics: &Topics, tiers: &Tiers, max_in_doubt: usize) -> Self {
        Self {
            sink,
            layout,
            tiers: tiers.iter().map(|tier| (tier.clone(), topics.retry(tier).into())).collect(),
            delivery_events: topics.delivery_events().into(),
            dlq: topics.dlq().into(),
            rejected: topics.rejected().into(),
            in_doubt: Arc::new(Semaphore::new(max_in_doubt)),
        }
    }

    /// Whether more may be sent: false while too much waits for its acknowledgement.
    pub(super) fn may_send(&self) -> bool {
        self.in_doubt.available_permits() > 0
    }

    /// Writes the event and the hand-off of `job`, waits for both, then settles it.
    pub(super) async fn conclude(
        &self,
        job: Job,
        body: DeliveryEventBody,
        hand_off: HandOff,
    ) -> Result<(), ProduceError> {
        let _in_doubt = self.in_doubt.acquire().await.expect("the semaphore is never closed");
        let event = DeliveryEvent::of(&job.delivery, &job.routing, self.sink.clock().now(), body);
        let logged = self.sink.send(outgoing::delivery_event(&self.layout, &self.delivery_events, &event));
        tokio::try_join!(logged, self.hand_over(&job, hand_off))?;
        job.token.settle();
        Ok(())
    }

    async fn hand_over(&self, job: &Job, hand_off: HandOff) -> Result<(), ProduceError> {
        match hand_off {
            HandOff::None => Ok(()),
            HandOff::Tier(tier, routing) => self.send_to_tier(job, &tier, &routing).await,
            HandOff::DeadLetter(letter) => self.bury(&letter).await,
        }
    }

    async fn send_to_tier(&self, job: &Job, tier: &Tier, routing: &Routing) -> Result<(), ProduceError> {
        let topic = self.tiers.iter().find(|(known, _)| known == tier).map(|(_, topic)| topic.clone());
        let topic = topic.expect("the tiers that decide are the tiers that exist");
        let partition = self.layout.partition(&topic, job.delivery.endpoint.as_str());
        match self.sink.send(job.forward(topic, partition, routing)).await {
            Err(ProduceError::TooLarge { reason, .. }) => self.bury(&too_large(job, reason)).await,
            other => other.map(drop),
        }
    }

    /// Writes to the dead-letter queue; without the body, if the record is too large with it.
    async fn bury(&self, letter: &DeadLetter) -> Result<(), ProduceError> {
        metrics::counter!("postrider_dead_letters_total", "error" => letter.error.as_str()).increment(1);
        match self.sink.send(outgoing::dead_letter(&self.layout, &self.dlq, letter)).await {
            Err(ProduceError::TooLarge { .. }) => {
                let mut bodyless = letter.clone();
                bodyless.delivery.body = Bytes::new();
                self.sink.send(outgoing::dead_letter(&self.layout, &self.dlq, &bodyless)).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Writes a record that can't be understood to the rejected topic, then settles it.
    pub(super) async fn reject(&self, record: Record, token: SettleToken, message: String) -> Result<(), ProduceError> {
        reject(&self.sink, &self.rejected, &record, RejectReason::Corrupt, &message).await?;
        token.settle();
        Ok(())
    }
}

/// The dead letter of a delivery whose record no topic takes.
fn too_large(job: &Job, reason: String) -> DeadLetter {
    let attempts = job.routing.attempt.get() - u32::from(job.routing.attempt == Attempt::FIRST);
    DeadLetter {
        delivery: Delivery { body: Bytes::new(), ..job.delivery.clone() },
        attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
        error: ErrorClass::PayloadTooLarge,
        error_message: Some(reason),
        last_status: None,
        response_excerpt: None,
        matched_at: job.routing.matched_at,
        first_attempt_at: job.routing.first_attempt_at,
        at: job.routing.matched_at,
        traceparent: job.routing.traceparent.clone(),
    }
}
