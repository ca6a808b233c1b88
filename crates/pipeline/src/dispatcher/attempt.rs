//! One attempt: the request is made, and what came of it is brought back.

use std::sync::Arc;

use postrider_domain::Endpoint;
use postrider_kafka::BrokerClock;
use tokio::time::Instant;

use super::{
    job::Job,
    opened::{Opened, Unusable},
    pace::Ticket,
    request::request,
    verdict::Timing,
};
use crate::egress::{Answer, Courier};

/// A delivery whose attempt is being made, or was.
#[derive(Debug)]
pub(super) struct Attempt {
    pub job: Job,
    /// The configuration that it is made with.
    pub endpoint: Arc<Endpoint>,
    /// The lane's leave to make it; none for a test send, which needs none.
    pub ticket: Option<Ticket>,
    /// The key that it is the head of, if the endpoint is ordered.
    pub key: Option<String>,
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Answered {
    pub attempt: Attempt,
    pub answer: Answer,
    pub timing: Timing,
    pub begun: Instant,
}

/// Makes an attempt.
pub(super) async fn make<C: Courier>(
    courier: &C,
    clock: &BrokerClock,
    attempt: Attempt,
    opened: Result<Arc<Opened>, Unusable>,
) -> Answered {
    let (begun, started_at) = (Instant::now(), clock.now());
    let job = &attempt.job;
    let request =
        opened.and_then(|opened| request(&job.delivery, &job.routing, &attempt.endpoint, &opened, started_at));
    let answer = match request {
        Ok(request) => courier.deliver(request, started_at).await,
        Err(unusable) => Answer::failed(unusable.class, unusable.message),
    };
    let timing = Timing { started_at, took: begun.elapsed() };
    let outcome = answer.outcome.error().map_or("delivered", |error| error.as_str());
    metrics::counter!("postrider_attempts_total", "outcome" => outcome).increment(1);
    metrics::histogram!("postrider_attempt_duration_seconds").record(timing.took);
    Answered { attempt, answer, timing, begun }
}
