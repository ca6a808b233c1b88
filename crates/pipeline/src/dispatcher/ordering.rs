//! Ordered endpoints: what keeps a key's deliveries in order when one of them has to wait.
//!
//! A key's deliveries wait in its queue, or behind each other in the held topic, never in a tier. While a new
//! delivery of a key is in flight nothing of that key is appended: should it fail, it has to be appended first. So
//! whoever reads the partition after this process meets them in their order, whatever was settled.

use std::time::Duration;

use postrider_domain::{
    Attempt, DeliveryEventBody, Endpoint, EndpointId, Routing, Timestamp,
    delivery_event::{AfterAttempt, Attempted, HoldReason},
    endpoint::OnExhausted,
};
use postrider_kafka::Sink;
use tokio::time::Instant;

use super::{
    entry::Queue,
    hold::{Blocked, MAX_BLOCKED_KEYS},
    job::{Job, Origin},
    keys::KeyQueues,
    partition::{Done, Head, Partition},
    state::Urgency,
    verdict::{Timing, retried},
};
use crate::egress::Courier;

/// How soon a head is tried again that failed because nothing could leave this process.
const EGRESS_WAIT: Duration = Duration::from_secs(5);

impl<S: Sink, C: Courier> Partition<S, C> {
    /// The queues of an ordered endpoint.
    pub(super) fn keys_of(&mut self, id: &EndpointId) -> Option<&mut KeyQueues<Job>> {
        match &mut self.entries.get_mut(id)?.queue {
            Queue::Ordered(keys) => Some(keys),
            Queue::Unordered(_) => None,
        }
    }

    /// Whether what comes for a key goes to the held topic.
    fn is_held(&self, id: &EndpointId, key: &str) -> bool {
        let hold = self.entries.get(id).and_then(|entry| entry.hold.as_ref());
        hold.is_some_and(|hold| hold.whole || hold.blocked.contains_key(key))
    }

    /// Brings a delivery of an ordered endpoint to its key's queue, or behind those of its key that are held.
    pub(super) fn admit_ordered(&mut self, mut job: Job, inactive: Option<HoldReason>) {
        let (id, key, max_queued) = (job.delivery.endpoint.clone(), job.key(), self.shared.limits.max_queued);
        let is_full = self.keys_of(&id).is_some_and(|keys| keys.len() >= max_queued);
        if inactive.is_some() || is_full && !self.is_held(&id, &key) {
            self.hold_queue(&id);
        }
        let waits_behind_new = self.keys_of(&id).is_some_and(|keys| keys.is_fresh(&key));
        if self.is_held(&id, &key) && !waits_behind_new {
            return self.hold(job, inactive.unwrap_or(HoldReason::Order));
        }
        if !self.reserve_memory(&mut job) {
            self.hold_queue(&id);
            if self.keys_of(&id).is_some_and(|keys| keys.is_fresh(&key)) {
                return self.heads.push_back(Head::NoRoom(Box::new(job)));
            }
            return self.hold(job, HoldReason::Order);
        }
        if let Some(keys) = self.keys_of(&id) {
            keys.push(&key, job, true);
        }
        self.start(&id);
    }

    /// Holds everything that comes for an ordered endpoint from here on, and what waits in its queues; what waits
    /// behind a delivery in flight follows that.
    pub(super) fn hold_queue(&mut self, id: &EndpointId) {
        self.begin_holding(id, true);
        if !self.hold_of(id).whole {
            self.hold_of(id).whole = true;
            self.announce(id);
        }
        let Some(keys) = self.keys_of(id) else { return };
        for key in keys.resting() {
            let Some(keys) = self.keys_of(id) else { return };
            let jobs = keys.take(&key);
            self.hold_in_order(id, jobs);
        }
    }

    /// Appends what is new; what was held is met again.
    fn hold_in_order(&mut self, id: &EndpointId, jobs: Vec<Job>) {
        let (held, new): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| matches!(job.origin, Origin::Held(_)));
        self.forget_jobs(id, held);
        for job in new {
            self.hold(job, HoldReason::Order);
        }
    }

    /// The head of a key that was in flight is done with.
    pub(super) fn advance(&mut self, id: &EndpointId, key: &str) {
        let is_held = self.is_held(id, key);
        let Some(keys) = self.keys_of(id) else { return };
        if is_held && keys.is_fresh(key) {
            let followers = keys.take(key);
            keys.advance(key);
            return self.hold_in_order(id, followers);
        }
        keys.advance(key);
        let hold = self.entries.get_mut(id).and_then(|entry| entry.hold.as_mut());
        if let Some(blocked) = hold.and_then(|hold| hold.blocked.get_mut(key)) {
            blocked.head_ended();
        }
    }

    /// The head of a key failed because nothing could leave this process.
    pub(super) fn head_again(&mut self, job: Job, key: &str) {
        let id = job.delivery.endpoint.clone();
        let at = self.shared.uptime.of(Instant::now() + EGRESS_WAIT);
        if let Some(keys) = self.keys_of(&id) {
            keys.again(key, job, at);
        }
    }

    /// The head of a key failed, and is to be tried again after `delay`.
    pub(super) fn retry_head(
        &mut self,
        mut job: Job,
        key: String,
        endpoint: &Endpoint,
        attempted: Attempted,
        timing: Timing,
        delay: Duration,
    ) {
        let routing = retried(&job.routing, timing, delay);
        self.log_attempt(&job, attempted);
        job.routing = Routing { not_before: None, ..routing.clone() };
        if self.is_held(&endpoint.id, &key) || delay >= self.shared.limits.ordered_wait {
            let due = routing.not_before.map(|due| due.at);
            return self.block(job, key, endpoint, due);
        }
        let at = self.shared.uptime.of(Instant::now() + delay);
        if let Some(keys) = self.keys_of(&endpoint.id) {
            keys.again(&key, job, at);
        }
    }

    fn log_attempt(&mut self, job: &Job, attempted: Attempted) {
        let logged = self.shared.settler.log(job, DeliveryEventBody::Attempted(attempted));
        self.tasks.spawn(async move {
            logged.await?;
            Ok(Done::Written)
        });
    }

    /// The head of a key has used up its attempts: its key waits until somebody acts.
    pub(super) fn block_exhausted(&mut self, mut job: Job, key: String, endpoint: &Endpoint, mut attempted: Attempted) {
        attempted.next = AfterAttempt::Blocked;
        self.log_attempt(&job, attempted);
        job.routing =
            Routing { attempt: Attempt::FIRST, first_attempt_at: None, not_before: None, ..job.routing.clone() };
        metrics::counter!("postrider_ordered_keys_exhausted_total").increment(1);
        self.block(job, key, endpoint, None);
    }

    /// Moves a key to the held topic: its head, which is in flight here, first.
    fn block(&mut self, job: Job, key: String, endpoint: &Endpoint, next_at: Option<Timestamp>) {
        let id = &endpoint.id;
        self.begin_holding(id, false);
        let Some(keys) = self.keys_of(id) else { return };
        let followers = keys.take(&key);
        keys.advance(&key);
        let routing = job.routing.clone();
        let overrides_seen = self.shared.overrides.changes();
        let (again, new): (Vec<Job>, Vec<Job>) =
            [job].into_iter().chain(followers).partition(|job| matches!(job.origin, Origin::Held(_)));
        let from = again.iter().filter_map(|job| job.origin.held_offset()).min().unwrap_or(self.held.end);
        let hold = self.hold_of(id);
        // What the endpoint or the key took and did not finish is met again, by the key; what is being made durable
        // stays open.
        let mut outstanding = hold.blocked.remove(&key).map(|known| known.outstanding).unwrap_or_default();
        for offset in again.iter().filter_map(|job| job.origin.held_offset()) {
            hold.outstanding.remove(offset);
            outstanding.remove(offset);
        }
        let blocked = Blocked {
            outstanding,
            attempt: routing.attempt,
            first_attempt_at: routing.first_attempt_at,
            next_at,
            enabled_version: endpoint.enabled_version,
            overrides_seen,
        };
        hold.blocked.insert(key.clone(), blocked);
        let too_many = hold.blocked.len() > MAX_BLOCKED_KEYS && !hold.whole;
        self.held.sweep.enter((id.clone(), Some(key)), from, false);
        drop(again);
        if new.is_empty() {
            self.remember(id, Urgency::Transition);
        } else {
            self.announce(id);
            for job in new {
                self.hold(job, HoldReason::Order);
            }
        }
        if too_many {
            self.hold_queue(id);
        }
        self.refresh_room(id);
    }

    /// Lets the keys go on in their queues of which everything that was held is done.
    pub(super) fn release_keys(&mut self, id: &EndpointId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(hold) = &mut entry.hold else { return };
        let queue = &entry.queue;
        let sweep = &self.held.sweep;
        let own = sweep.next_of(&(id.clone(), None));
        let is_over = |key: &String, blocked: &Blocked| {
            let holder = (id.clone(), Some(key.clone()));
            let met = sweep.next_of(&holder);
            let at_rest = match queue {
                Queue::Ordered(keys) => !keys.has(key) && blocked.next_at == Some(Timestamp::EPOCH),
                Queue::Unordered(_) => true,
            };
            at_rest
                && blocked.outstanding.is_empty()
                && hold.appending == 0
                && sweep.is_caught_up(&holder)
                && met >= Some(hold.appended_up_to)
                && own >= met
                && !hold.waiting.iter().any(|(job, _)| job.key() == *key)
        };
        let over: Vec<String> =
            hold.blocked.iter().filter(|(key, blocked)| is_over(key, blocked)).map(|(key, _)| key.clone()).collect();
        for key in &over {
            hold.blocked.remove(key);
            self.held.sweep.leave(&(id.clone(), Some(key.clone())));
        }
        if !over.is_empty() {
            self.remember(id, Urgency::Position);
        }
    }
}

/// Whether a head that has used up its attempts keeps its key waiting.
pub(super) fn blocks_on_exhaustion(endpoint: &Endpoint) -> bool {
    endpoint.settings.ordering.is_some_and(|ordering| ordering.on_exhausted == OnExhausted::Block)
}
