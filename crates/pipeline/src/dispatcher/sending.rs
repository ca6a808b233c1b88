//! Sending what the lanes let go, and what follows from the answers.

use std::{sync::Arc, time::Duration};

use postrider_domain::{
    DeliveryEventBody, DeliveryKind, Endpoint, EndpointId, ErrorClass, Outcome,
    delivery_event::{AfterAttempt, CancelReason},
    endpoint_state::{AutoDisabled, DisableReason},
    gate::{Admission, Verdict},
};
use postrider_kafka::Sink;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    attempt::{self, Answered, Attempt},
    entry::Queue,
    job::{Job, Origin},
    lane::LANE_PATIENCE,
    ordering::blocks_on_exhaustion,
    pace::{Judgement, Leave, Ticket},
    partition::{Done, Head, Partition},
    placing::is_skipped,
    state::Urgency,
    verdict::{self, Fate, HandOff, fate, is_unreachable},
};
use crate::{directory::Lookup, egress::Courier};

/// When a lane is asked again that may not send now.
enum Next {
    /// This may be sent.
    Send(Box<(Job, Option<String>, Ticket, Arc<Endpoint>)>),
    /// Nothing for now: something will call.
    Rest,
    /// Nothing before then.
    At(Instant),
    /// Too much is in doubt.
    Gated,
    /// Nothing is sent to the endpoint at all.
    Inactive(Arc<Endpoint>),
    /// It was deleted.
    Deleted,
}

impl<S: Sink, C: Courier> Partition<S, C> {
    /// Sends what the endpoint's lane lets go.
    pub(super) fn start(&mut self, id: &EndpointId) {
        while !self.is_stopping() {
            match self.next_to_send(id) {
                Next::Send(next) => {
                    let (job, key, ticket, endpoint) = *next;
                    self.send(job, key, Some(ticket), endpoint);
                }
                Next::Rest => return,
                Next::At(at) => return self.wake_at(id, at),
                Next::Gated => {
                    self.gated.insert(id.clone());
                    return;
                }
                Next::Inactive(endpoint) => return self.deactivate(id, &endpoint),
                Next::Deleted => return self.cancel_queue(id),
            }
        }
    }

    fn next_to_send(&mut self, id: &EndpointId) -> Next {
        let now = Instant::now();
        let monotonic = self.shared.uptime.of(now);
        let Some(entry) = self.entries.get_mut(id) else { return Next::Rest };
        match &mut entry.queue {
            Queue::Unordered(lane) if lane.len() == 0 => return Next::Rest,
            Queue::Unordered(_) => {}
            Queue::Ordered(keys) => {
                if !keys.has_ready(monotonic) {
                    return keys.next_wake().map_or(Next::Rest, |at| Next::At(self.shared.uptime.instant(at)));
                }
            }
        }
        if !self.shared.settler.may_send() {
            return Next::Gated;
        }
        // Looked up again: it may have been edited while the delivery waited. It was known when the delivery came.
        let endpoint = match self.shared.directory.lookup(id, Some(self.shared.directory.version())) {
            Lookup::Known(endpoint) => endpoint,
            Lookup::Behind => return Next::Gated,
            Lookup::Deleted => return Next::Deleted,
        };
        if entry.inactive(&endpoint, &self.shared.directory, self.shared.clock.now()).is_some() {
            return Next::Inactive(endpoint);
        }
        entry.adopt(&endpoint, &self.shared.limits, now);
        let ticket = match entry.pace.leave(monotonic) {
            Leave::Go(ticket) => ticket,
            Leave::Wait(until) => return Next::At(self.shared.uptime.instant(until)),
            Leave::Full => return Next::Rest,
        };
        if let Admission::Wait(until) = self.shared.gate.may_send(host_of(&endpoint.origin)) {
            entry.pace.ended(ticket, Judgement::Nothing, monotonic, (self.shared.jitter)());
            return Next::At(self.shared.uptime.instant(until));
        }
        let next = match &mut entry.queue {
            Queue::Unordered(lane) => lane.pop(&self.shared.limits, now).map(|job| (job, None)),
            Queue::Ordered(keys) => keys.pop(monotonic).map(|(key, job)| (job, Some(key))),
        };
        if let Some((job, key)) = next {
            Next::Send(Box::new((job, key, ticket, endpoint)))
        } else {
            entry.pace.ended(ticket, Judgement::Nothing, monotonic, (self.shared.jitter)());
            Next::Rest
        }
    }

    fn send(&mut self, job: Job, key: Option<String>, ticket: Option<Ticket>, endpoint: Arc<Endpoint>) {
        let now = self.shared.clock.now();
        let order = self.shared.overrides.of(&job.delivery.message_id, &job.delivery.run);
        let ended = order.and_then(|order| order.ends(&job.routing, now));
        if ended.is_some() || is_skipped(&job, &endpoint) {
            self.give_back(&endpoint.id, ticket);
            return self.end_unsent(job, key.as_deref(), ended, &endpoint);
        }
        self.attempt(Attempt { job, endpoint, ticket, key }, None);
    }

    /// Begins an attempt. `permit` is kept while it lasts.
    fn attempt(&mut self, attempt: Attempt, permit: Option<OwnedSemaphorePermit>) {
        let shared = self.shared.clone();
        let opened = self.entry_of(&attempt.job.delivery).opened(&attempt.endpoint, &shared.keys, &shared.policy);
        self.attempts += 1;
        self.tasks.spawn(async move {
            let _permit = permit;
            Ok(Done::Answered(Box::new(attempt::make(&shared.courier, &shared.clock, attempt, opened).await)))
        });
    }

    fn give_back(&mut self, id: &EndpointId, ticket: Option<Ticket>) {
        let now = self.shared.uptime.of(Instant::now());
        if let (Some(entry), Some(ticket)) = (self.entries.get_mut(id), ticket) {
            entry.pace.ended(ticket, Judgement::Nothing, now, (self.shared.jitter)());
        }
    }

    /// Ends a delivery that came to the front of its lane and is no longer wanted.
    fn end_unsent(&mut self, job: Job, key: Option<&str>, ended: Option<CancelReason>, endpoint: &Endpoint) {
        self.advance_if_ordered(&endpoint.id, key);
        match ended {
            Some(reason) => self.cancel(job, reason),
            None => self.skip(job, endpoint),
        }
    }

    /// Sends a test: once, whatever the endpoint's state. Until then it may wait for other tests to end.
    pub(super) fn send_test_until(&mut self, job: Job, endpoint: Arc<Endpoint>, until: Instant) {
        let Ok(permit) = self.shared.test_sends.clone().try_acquire_owned() else {
            return self.behind.push_back((until, job));
        };
        self.attempt(Attempt { job, endpoint, ticket: None, key: None }, Some(permit));
    }

    /// An attempt has ended: learns from it, and decides what follows.
    pub(super) fn on_answered(&mut self, mut answered: Answered) {
        let Attempt { job, endpoint, .. } = &answered.attempt;
        let outcome = answered.answer.outcome.clone();
        let live = job.delivery.kind == DeliveryKind::Live;
        let (gate, begun) = (&self.shared.gate, self.shared.uptime.of(answered.begun));
        let unreachable = is_unreachable(&outcome);
        if outcome.status().is_some() {
            gate.on_status(begun);
        } else if unreachable {
            gate.on_unreachable(host_of(&endpoint.origin), begun);
        }
        // Asked afterwards: the failure that shut it counts for as little as those that follow.
        let was_down = unreachable && gate.overlapped_shut(begun);
        let (id, endpoint) = (endpoint.id.clone(), endpoint.clone());
        let ticket = answered.attempt.ticket.take();
        if let (Some(_), Some(entry)) = (outcome.status(), self.entries.get_mut(&id)) {
            entry.pace.share_streams(answered.answer.max_streams);
        }
        if live {
            let judgement = if was_down { Judgement::Nothing } else { Judgement::of(&outcome) };
            self.learn(&id, &endpoint, &outcome, ticket, judgement);
        }
        let job = &answered.attempt.job;
        let fate = fate(
            job.delivery.kind,
            &job.routing,
            &outcome,
            answered.timing,
            &endpoint.retry,
            was_down,
            (self.shared.jitter)(),
        );
        self.follow(answered, fate);
        self.start(&id);
        self.refresh_room(&id);
        if self.heads.iter().any(|head| matches!(head, Head::NoRoom(job) if job.delivery.endpoint == id)) {
            self.retry_heads();
        }
    }

    /// Takes note of how an endpoint does.
    fn learn(
        &mut self,
        id: &EndpointId,
        endpoint: &Endpoint,
        outcome: &Outcome,
        ticket: Option<Ticket>,
        judgement: Judgement,
    ) {
        let (now, broker_now) = (self.shared.uptime.of(Instant::now()), self.shared.clock.now());
        let disable = self.shared.disable;
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.pace.ignore_latency(self.shared.lateness.is_late());
        let turned = ticket.is_some_and(|ticket| entry.pace.ended(ticket, judgement, now, (self.shared.jitter)()));
        if let Outcome::Answered { status: 429 | 503, retry_after: Some(wait) } = outcome {
            entry.pace.rest(*wait, now);
        }
        let before = (entry.failing, entry.disabled);
        let failed = matches!(judgement, Judgement::Refusal | Judgement::Failure | Judgement::Overload);
        match judgement {
            Judgement::Nothing => {}
            Judgement::Success => entry.failing.on_success(),
            Judgement::Refusal | Judgement::Failure | Judgement::Overload => entry.failing.on_failure(broker_now),
        }
        let reason = if outcome.error() == Some(ErrorClass::Gone) {
            Some(DisableReason::Gone)
        } else if failed && entry.failing.must_disable(broker_now, &disable) {
            Some(DisableReason::Failing)
        } else {
            None
        };
        // The version that the request was made with: one that was enabled since is another matter.
        let known = entry.disabled.map_or(i64::MIN, |disabled| disabled.enabled_version);
        if let Some(reason) = reason.filter(|_| endpoint.enabled_version > known) {
            tracing::warn!(endpoint = %id, ?reason, "the endpoint is disabled");
            metrics::counter!("postrider_endpoints_disabled_total").increment(1);
            let enabled_version = endpoint.enabled_version;
            entry.disabled = Some(AutoDisabled { reason, enabled_version, at: broker_now });
            entry.failing.on_success();
        }
        let closed_for = entry.pace.closed_for(now);
        let broke = turned && entry.pace.is_broken() && closed_for > self.shared.limits.park_after;
        let disabled = entry.disabled != before.1;
        if disabled {
            self.remember(id, Urgency::Transition);
            self.deactivate(id, endpoint);
        } else if turned || entry.failing != before.0 {
            self.remember(id, Urgency::Counters);
        }
        if !disabled && (broke || closed_for > LANE_PATIENCE) {
            self.evict(id);
        }
    }

    /// Does what follows from an attempt.
    fn follow(&mut self, answered: Answered, fate: Fate) {
        if fate == Fate::GiveUpUnlessEgressIsDown {
            let gate = self.shared.gate.clone();
            let failed_at = self.shared.uptime.now();
            self.tasks.spawn(async move {
                let verdict = gate.verdict(failed_at).await;
                Ok(Done::Judged(Box::new(answered), verdict))
            });
            return;
        }
        let Answered { attempt: Attempt { job, endpoint, key, .. }, answer, sent, timing, .. } = answered;
        let now = timing.started_at + timing.took;
        match (fate, key) {
            (Fate::Ended, key) => {
                let delivered = answer.outcome.error().is_none();
                let next = if delivered { AfterAttempt::Delivered } else { AfterAttempt::DeadLetter };
                let attempted = verdict::attempted(answer, sent, timing, next, None);
                self.advance_if_ordered(&endpoint.id, key.as_deref());
                self.conclude(job, DeliveryEventBody::Attempted(attempted), HandOff::None);
            }
            (Fate::Retry(delay), None) => {
                let routing = verdict::retried(&job.routing, timing, delay);
                let due = routing.not_before.expect("a retry is due at some time");
                let attempted = verdict::attempted(answer, sent, timing, AfterAttempt::Retry, Some(due.at));
                let tier = verdict::first_tier(&self.shared.tiers, due, now);
                self.conclude(job, DeliveryEventBody::Attempted(attempted), HandOff::Tier(tier, routing));
            }
            (Fate::Retry(delay), Some(key)) => {
                let attempted = verdict::attempted(answer, sent, timing, AfterAttempt::Blocked, Some(now + delay));
                self.retry_head(job, key, &endpoint, attempted, timing, delay);
            }
            (Fate::Again, None) => {
                let (tier, routing) = verdict::again(&job.routing, now, &self.shared.tiers);
                let until = routing.not_before.map(|due| due.at);
                let attempted = verdict::attempted(answer, sent, timing, AfterAttempt::Parked, until);
                self.conclude(job, DeliveryEventBody::Attempted(attempted), HandOff::Tier(tier, routing));
            }
            (Fate::Again, Some(key)) => self.head_again(job, &key),
            (Fate::GiveUp | Fate::GiveUpUnlessEgressIsDown, key) => {
                let attempted = verdict::attempted(answer, sent, timing, AfterAttempt::DeadLetter, None);
                self.give_up(job, key.as_deref(), &endpoint, attempted);
            }
        }
    }

    /// It is known whether an attempt failed for want of a way out.
    pub(super) fn on_verdict(&mut self, answered: Answered, verdict: Verdict) {
        let id = answered.attempt.endpoint.id.clone();
        self.follow(answered, if verdict == Verdict::Park { Fate::Again } else { Fate::GiveUp });
        self.start(&id);
        self.refresh_room(&id);
    }

    fn give_up(
        &mut self,
        job: Job,
        key: Option<&str>,
        endpoint: &Endpoint,
        attempted: postrider_domain::delivery_event::Attempted,
    ) {
        let now = self.shared.clock.now();
        if let Some(key) = key {
            if blocks_on_exhaustion(endpoint) {
                return self.block_exhausted(job, key.to_owned(), endpoint, attempted);
            }
            self.advance(&endpoint.id, key);
        }
        let letter = verdict::dead_letter(&job.delivery, &job.routing, &attempted, now);
        let hand_off = HandOff::DeadLetter(Box::new(letter));
        self.conclude(job, DeliveryEventBody::Attempted(attempted), hand_off);
    }

    fn advance_if_ordered(&mut self, id: &EndpointId, key: Option<&str>) {
        if let Some(key) = key {
            self.advance(id, key);
        }
    }

    /// Takes everything out of the lane of an endpoint that will not take anything for long: it is parked or held.
    pub(super) fn evict(&mut self, id: &EndpointId) {
        let now = Instant::now();
        let Some(entry) = self.entries.get_mut(id) else { return };
        let wait = entry.pace.closed_for(self.shared.uptime.of(now)).max(Duration::from_secs(1));
        let Queue::Unordered(lane) = &mut entry.queue else { return self.hold_queue(id) };
        let (held, fresh) = lane.drain();
        self.forget_jobs(id, held);
        for job in fresh {
            self.put_aside(job, wait);
        }
    }

    /// Takes everything out of the lane of an endpoint that nothing is sent to.
    pub(super) fn deactivate(&mut self, id: &EndpointId, endpoint: &Endpoint) {
        let now = self.shared.clock.now();
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(reason) = entry.inactive(endpoint, &self.shared.directory, now) else { return };
        let Queue::Unordered(lane) = &mut entry.queue else { return self.hold_queue(id) };
        let (held, fresh) = lane.drain();
        self.forget_jobs(id, held);
        for job in fresh {
            self.hold(job, reason);
        }
    }

    /// Ends everything in the lane of an endpoint that was deleted.
    fn cancel_queue(&mut self, id: &EndpointId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let jobs = match &mut entry.queue {
            Queue::Unordered(lane) => {
                let (held, fresh) = lane.drain();
                held.into_iter().chain(fresh).collect()
            }
            Queue::Ordered(keys) => keys.take_all(),
        };
        let (held, fresh): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| matches!(job.origin, Origin::Held(_)));
        self.forget_jobs(id, held);
        for job in fresh {
            self.cancel(job, CancelReason::EndpointDeleted);
        }
    }
}

/// The host of an origin (`https://example.com:8443`), without its port.
fn host_of(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_is_left_of_an_origin_without_scheme_and_port() {
        let table = [
            ("https://example.com", "example.com"),
            ("https://example.com:8443", "example.com"),
            ("http://[::1]:80", "[::1]"),
            ("http://[::1]", "[::1]"),
        ];
        for (origin, host) in table {
            assert_eq!(host_of(origin), host);
        }
    }
}
