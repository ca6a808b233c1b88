//! What follows an attempt. Pure.

use std::time::Duration;

use postrider_domain::{
    Attempt, Delivery, DeliveryKind, ErrorClass, NextStep, Outcome, Routing, Timestamp,
    delivery::{Header, NotBefore},
    delivery_event::{AfterAttempt, Attempted, DeadLetter},
    outcome::{Jitter, next_step},
    retry::RetryPolicy,
    tier::{Hop, Tier, Tiers},
};

use crate::egress::Answer;

/// How long what failed while nothing could leave this process is put aside.
const EGRESS_PARK: Duration = Duration::from_secs(30);

/// Where a delivery goes.
#[derive(Debug, PartialEq)]
pub(super) enum HandOff {
    /// Nowhere: it has ended.
    None,
    /// To this tier, with this routing.
    Tier(Tier, Routing),
    /// To the dead-letter queue.
    DeadLetter(Box<DeadLetter>),
}

/// When an attempt was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Broker time at its start.
    pub started_at: Timestamp,
    /// From start to verdict.
    pub took: Duration,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was delivered, or was a test send, whatever came of that.
    Ended,
    /// It is tried again after this long.
    Retry(Duration),
    /// Nothing could leave this process: the same attempt is made again later.
    Again,
    /// It is given up, unless it turns out that nothing could leave this process.
    GiveUpUnlessEgressIsDown,
    /// It is given up.
    GiveUp,
}

/// Whether a failure could be our own: nothing came back from the host.
pub(super) fn is_unreachable(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(ErrorClass::Dns | ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Timeout))
}

/// Decides what follows `outcome`. `egress_was_down`: the attempt overlapped a shut egress gate.
pub(super) fn fate(
    kind: DeliveryKind,
    routing: &Routing,
    outcome: &Outcome,
    timing: Timing,
    policy: &RetryPolicy,
    egress_was_down: bool,
    jitter: Jitter,
) -> Fate {
    if kind == DeliveryKind::Test {
        return Fate::Ended;
    }
    let unreachable = is_unreachable(outcome);
    if unreachable && egress_was_down {
        return Fate::Again;
    }
    let now = timing.started_at + timing.took;
    let first_attempt_at = routing.first_attempt_at.unwrap_or(timing.started_at);
    match next_step(outcome, routing.attempt, first_attempt_at, policy, now, jitter) {
        NextStep::Settle => Fate::Ended,
        NextStep::RetryAfter(delay) => Fate::Retry(delay),
        NextStep::DeadLetter if unreachable => Fate::GiveUpUnlessEgressIsDown,
        NextStep::DeadLetter => Fate::GiveUp,
    }
}

/// What the log is told of an attempt that was made with headers of which `sent` may be shown.
pub(super) fn attempted(
    answer: Answer,
    sent: Vec<Header>,
    timing: Timing,
    next: AfterAttempt,
    next_at: Option<Timestamp>,
) -> Attempted {
    Attempted {
        started_at: timing.started_at,
        duration_us: i64::try_from(timing.took.as_micros()).unwrap_or(i64::MAX),
        status: answer.outcome.status().map(i32::from),
        error: answer.outcome.error(),
        error_message: answer.error_message,
        response_excerpt: answer.excerpt,
        next,
        next_attempt_at: next_at,
        request_headers: sent,
        response_headers: answer.headers,
        phases: Some(answer.phases),
    }
}

/// The routing of a delivery whose next attempt is due after `delay`.
pub(super) fn retried(routing: &Routing, timing: Timing, delay: Duration) -> Routing {
    let at = timing.started_at + timing.took + delay;
    Routing {
        attempt: routing.attempt.next(),
        first_attempt_at: Some(routing.first_attempt_at.unwrap_or(timing.started_at)),
        not_before: Some(NotBefore { at, whole_delay: delay }),
        ..routing.clone()
    }
}

/// The routing of a delivery whose attempt did not count.
pub(super) fn put_aside(routing: &Routing, now: Timestamp, wait: Duration) -> Routing {
    Routing { not_before: Some(NotBefore { at: now + wait, whole_delay: wait }), ..routing.clone() }
}

/// The routing and the tier of a delivery whose attempt counts for nothing, because nothing could leave this process.
pub(super) fn again(routing: &Routing, now: Timestamp, tiers: &Tiers) -> (Tier, Routing) {
    (tiers.parking(EGRESS_PARK).clone(), put_aside(routing, now, EGRESS_PARK))
}

/// The dead letter of a delivery that was given up after `attempted`.
pub(super) fn dead_letter(delivery: &Delivery, routing: &Routing, attempted: &Attempted, at: Timestamp) -> DeadLetter {
    DeadLetter {
        delivery: delivery.clone(),
        attempts: count(routing.attempt),
        error: attempted.error.unwrap_or(ErrorClass::InvalidResponse),
        error_message: attempted.error_message.clone(),
        last_status: attempted.status,
        response_excerpt: attempted.response_excerpt.clone(),
        matched_at: routing.matched_at,
        first_attempt_at: Some(routing.first_attempt_at.unwrap_or(attempted.started_at)),
        at,
        traceparent: routing.traceparent.clone(),
    }
}

fn count(attempt: Attempt) -> i32 {
    i32::try_from(attempt.get()).unwrap_or(i32::MAX)
}

/// The first tier of a retry: even a delay shorter than every tier waits in the shortest.
pub(super) fn first_tier(tiers: &Tiers, not_before: NotBefore, now: Timestamp) -> Tier {
    let shortest = || tiers.iter().next().expect("there is at least one tier");
    match tiers.next_hop(not_before, now) {
        Hop::Tier(tier) => tier.clone(),
        Hop::Deliver => shortest().clone(),
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::Priority;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const TIMING: Timing = Timing { started_at: NOW, took: Duration::from_secs(1) };

    fn decide(kind: DeliveryKind, outcome: &Outcome, attempt: u32, egress_was_down: bool) -> Fate {
        let routing = Routing {
            attempt: Attempt::new(attempt).unwrap(),
            first_attempt_at: None,
            not_before: None,
            matched_at: NOW,
            version: None,
            generation: 0,
            priority: Priority::Normal,
            traceparent: None,
        };
        let policy = serde_json::from_str(r#"{"delays_seconds":[30]}"#).unwrap();
        fate(kind, &routing, outcome, TIMING, &policy, egress_was_down, Jitter(0.5))
    }

    #[test]
    fn every_end_has_its_fate() {
        let answered = |status| Outcome::Answered { status, retry_after: None };
        let refused = Outcome::Failed(ErrorClass::Connect);
        let live = DeliveryKind::Live;
        let table = [
            (decide(live, &answered(200), 1, false), Fate::Ended),
            (decide(live, &answered(500), 1, true), Fate::Retry(Duration::from_secs(30))),
            (decide(live, &answered(500), 2, true), Fate::GiveUp),
            (decide(live, &refused, 1, false), Fate::Retry(Duration::from_secs(30))),
            (decide(live, &refused, 2, false), Fate::GiveUpUnlessEgressIsDown),
            (decide(live, &refused, 2, true), Fate::Again),
            (decide(live, &refused, 1, true), Fate::Again),
            (decide(DeliveryKind::Test, &answered(500), 1, false), Fate::Ended),
            (decide(DeliveryKind::Test, &refused, 1, true), Fate::Ended),
        ];
        for (number, (found, wanted)) in table.into_iter().enumerate() {
            assert_eq!(found, wanted, "case {number}");
        }
    }
}
