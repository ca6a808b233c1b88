//! One attempt: sign, send, decide, and make the decision durable.

use std::sync::Arc;

use postrider_domain::{Endpoint, EndpointId, Timestamp, outcome::Jitter, signing::signature_header, tier::Tiers};
use postrider_kafka::{BrokerClock, ProduceError, Sink};
use tokio::{sync::mpsc, time::Instant};

use super::{
    job::Job,
    opened::{Opened, Unusable},
    settle::Settler,
    verdict::{Timing, after_attempt},
};
use crate::egress::{Answer, Courier, Request};

/// What every attempt of a process shares.
#[derive(Debug, Clone)]
pub(super) struct Attempts<S, C> {
    pub courier: C,
    pub settler: Settler<S>,
    pub tiers: Arc<Tiers>,
    pub clock: BrokerClock,
    /// Draws the jitter of a retry.
    pub jitter: fn() -> Jitter,
}

/// A slot of an endpoint's lane; told back when the request is over, however it ends.
#[derive(Debug)]
pub(super) struct LaneSlot {
    endpoint: EndpointId,
    freed: mpsc::UnboundedSender<EndpointId>,
}

impl LaneSlot {
    pub(super) fn new(endpoint: EndpointId, freed: mpsc::UnboundedSender<EndpointId>) -> Self {
        Self { endpoint, freed }
    }
}

impl Drop for LaneSlot {
    fn drop(&mut self) {
        // The partition may have been given up.
        let _ = self.freed.send(self.endpoint.clone());
    }
}

impl<S: Sink, C: Courier> Attempts<S, C> {
    /// Makes the attempt that `job` is due for. The slot is freed when the request is over; the job is settled
    /// once what follows is durable.
    pub(super) async fn make(
        &self,
        job: Job,
        endpoint: Arc<Endpoint>,
        opened: Result<Arc<Opened>, Unusable>,
        slot: LaneSlot,
    ) -> Result<(), ProduceError> {
        let (started, started_at) = (Instant::now(), self.clock.now());
        let answer = match opened {
            Ok(opened) => self.courier.deliver(request(&job, &endpoint, &opened, started_at), started_at).await,
            Err(unusable) => Answer::failed(unusable.class, unusable.message),
        };
        let timing = Timing { started_at, took: started.elapsed() };
        drop(slot);
        record_metrics(&answer, timing);
        let (event, hand_off) =
            after_attempt(&job.delivery, &job.routing, answer, timing, &endpoint.retry, &self.tiers, (self.jitter)());
        self.settler.conclude(job, event, hand_off).await
    }
}

/// The signed request of Standard Webhooks 1.0.0.
fn request(job: &Job, endpoint: &Endpoint, opened: &Opened, now: Timestamp) -> Request {
    let id = job.delivery.message_id.as_str();
    let timestamp = now.as_seconds();
    let signature = signature_header(&opened.signing_secrets(now), id, timestamp, &job.delivery.body);
    Request {
        url: opened.url.clone(),
        content_type: job.delivery.content_type.clone(),
        headers: vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ],
        body: job.delivery.body.clone(),
        deadline: endpoint.timeout(),
    }
}

fn record_metrics(answer: &Answer, timing: Timing) {
    let outcome = answer.outcome.error().map_or("delivered", |error| error.as_str());
    metrics::counter!("postrider_attempts_total", "outcome" => outcome).increment(1);
    metrics::histogram!("postrider_attempt_duration_seconds").record(timing.took);
}
