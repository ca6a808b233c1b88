//! What follows an attempt, as records to write. Pure.

use std::time::Duration;

use postrider_domain::{
    Delivery, DeliveryEventBody, ErrorClass, NextStep, Routing, Timestamp,
    delivery::NotBefore,
    delivery_event::{AfterAttempt, Attempted, DeadLetter},
    outcome::{Jitter, next_step},
    retry::RetryPolicy,
    tier::{Hop, Tier, Tiers},
};

use crate::egress::Answer;

/// Where a delivery goes after an attempt.
#[derive(Debug, PartialEq)]
pub(super) enum HandOff {
    /// Nowhere: it was delivered.
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

/// Decides what follows `answer`: what to tell the log, and where the delivery goes.
pub(super) fn after_attempt(
    delivery: &Delivery,
    routing: &Routing,
    answer: Answer,
    timing: Timing,
    policy: &RetryPolicy,
    tiers: &Tiers,
    jitter: Jitter,
) -> (DeliveryEventBody, HandOff) {
    let now = timing.started_at + timing.took;
    let first_attempt_at = routing.first_attempt_at.unwrap_or(timing.started_at);
    let step = next_step(&answer.outcome, routing.attempt, first_attempt_at, policy, now, jitter);
    let mut attempted = Attempted {
        started_at: timing.started_at,
        duration_us: i64::try_from(timing.took.as_micros()).unwrap_or(i64::MAX),
        status: answer.outcome.status().map(i32::from),
        error: answer.outcome.error(),
        error_message: answer.error_message,
        response_excerpt: answer.excerpt,
        next: AfterAttempt::Delivered,
        next_attempt_at: None,
    };
    let hand_off = match step {
        NextStep::Settle => HandOff::None,
        NextStep::RetryAfter(delay) => {
            let not_before = NotBefore { at: now + delay, whole_delay: delay };
            attempted.next = AfterAttempt::Retry;
            attempted.next_attempt_at = Some(not_before.at);
            let routing = Routing {
                attempt: routing.attempt.next(),
                first_attempt_at: Some(first_attempt_at),
                not_before: Some(not_before),
                ..routing.clone()
            };
            HandOff::Tier(first_tier(tiers, not_before, now), routing)
        }
        NextStep::DeadLetter => {
            attempted.next = AfterAttempt::DeadLetter;
            let error = attempted.error.unwrap_or(ErrorClass::InvalidResponse);
            HandOff::DeadLetter(Box::new(DeadLetter {
                delivery: delivery.clone(),
                attempts: i32::try_from(routing.attempt.get()).unwrap_or(i32::MAX),
                error,
                error_message: attempted.error_message.clone(),
                last_status: attempted.status,
                response_excerpt: attempted.response_excerpt.clone(),
                matched_at: routing.matched_at,
                first_attempt_at: Some(first_attempt_at),
                at: now,
                traceparent: routing.traceparent.clone(),
            }))
        }
    };
    (DeliveryEventBody::Attempted(attempted), hand_off)
}

/// The first tier of a retry: even a delay shorter than every tier waits in the shortest.
fn first_tier(tiers: &Tiers, not_before: NotBefore, now: Timestamp) -> Tier {
    let shortest = || tiers.iter().next().expect("there is at least one tier");
    match tiers.next_hop(not_before, now) {
        Hop::Tier(tier) => tier.clone(),
        Hop::Deliver => shortest().clone(),
    }
}
