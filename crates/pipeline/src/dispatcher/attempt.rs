//! One attempt: the request is made, and what came of it is brought back.

use std::sync::Arc;

use postrider_domain::{
    Endpoint,
    delivery::Header,
    masking::{MASK, is_secret_header, shown_header},
};
use postrider_kafka::BrokerClock;
use tokio::time::Instant;

use super::{
    job::Job,
    opened::{Opened, Unusable},
    pace::Ticket,
    request::request,
    verdict::Timing,
};
use crate::egress::{Answer, Courier, Request};

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
    /// What came of it, without what is secret.
    pub answer: Answer,
    /// The headers that were sent, as they may be shown.
    pub sent: Vec<Header>,
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
    let request = opened.and_then(|opened| {
        let request = request(&job.delivery, &job.routing, &attempt.endpoint, &opened, started_at)?;
        Ok((request, opened))
    });
    let (answer, sent) = match request {
        Ok((request, opened)) => {
            let sent = shown(&request, &opened);
            (masked(courier.deliver(request, started_at).await, &opened), sent)
        }
        Err(unusable) => (Answer::failed(unusable.class, unusable.message), Vec::new()),
    };
    let timing = Timing { started_at, took: begun.elapsed() };
    let outcome = answer.outcome.error().map_or("delivered", |error| error.as_str());
    metrics::counter!("postrider_attempts_total", "outcome" => outcome).increment(1);
    metrics::histogram!("postrider_attempt_duration_seconds").record(timing.took);
    Answered { attempt, answer, sent, timing, begun }
}

/// The headers of a request, as they may be shown.
fn shown(request: &Request, opened: &Opened) -> Vec<Header> {
    let is_own = |name: &str| opened.headers.iter().any(|(own, _)| own == name);
    let content_type = Header { name: "content-type".to_owned(), value: request.content_type.clone() };
    let others = request.headers.iter().map(|(name, value)| shown_header(name, value, is_own(name)));
    request.standing_headers().into_iter().chain([content_type]).chain(others).collect()
}

/// An answer without what is secret: by its name, or because it was sent.
fn masked(mut answer: Answer, opened: &Opened) -> Answer {
    for header in &mut answer.headers {
        if is_secret_header(&header.name) {
            MASK.clone_into(&mut header.value);
        } else {
            opened.secrets_sent.mask(&mut header.value);
        }
    }
    answer.error_message.iter_mut().for_each(|text| opened.secrets_sent.mask(text));
    answer.excerpt.iter_mut().for_each(|text| opened.secrets_sent.mask_beginning(text));
    answer
}
