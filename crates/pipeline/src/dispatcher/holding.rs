//! Holding: what goes to the held topic, what of it is done, and when it is over.
//!
//! Before an endpoint's first append its state says so, acknowledged; what was appended is then found by the next
//! owner, whatever happens to this one.

use std::{ops::Range, time::Duration};

use postrider_domain::{
    EndpointId,
    delivery_event::{CancelReason, HeldRange, HoldReason, ParkReason, RangeReason},
};
use postrider_kafka::{Sink, held_place};
use tokio::time::Instant;

use super::{
    entry::Queue,
    hold::{FEW_BLOCKED_KEYS, Hold, Skipping},
    job::Job,
    partition::{Done, Partition},
    state::Urgency,
};
use crate::egress::Courier;

/// Appends of one endpoint that may be under way.
const MAX_APPENDING: usize = 256;

impl<S: Sink, C: Courier> Partition<S, C> {
    /// Puts a delivery into the held topic; one that came from there keeps its place.
    pub(super) fn hold(&mut self, job: Job, reason: HoldReason) {
        let id = job.delivery.endpoint.clone();
        if let Some(offset) = job.origin.held_offset() {
            return self.forget(&id, &[offset]);
        }
        self.begin_holding(&id, true);
        self.to_hold_bytes += job.value.len();
        self.hold_of(&id).waiting.push_back((job, reason));
        self.append_waiting(&id);
    }

    /// Puts a delivery aside whose endpoint takes nothing for `wait`.
    pub(super) fn put_aside(&mut self, job: Job, wait: Duration) {
        let (now, limits) = (self.shared.clock.now(), self.shared.limits);
        let entry = self.entries.get_mut(&job.delivery.endpoint);
        let held = entry.is_some_and(|entry| entry.hold.is_some() || entry.parked.count(now) >= limits.max_parked);
        if held {
            self.hold(job, HoldReason::BreakerOpen);
        } else {
            self.park(job, ParkReason::BreakerOpen, wait);
        }
    }

    /// The holding of an endpoint that has one.
    pub(super) fn hold_of(&mut self, id: &EndpointId) -> &mut Hold {
        let entry = self.entries.get_mut(id).expect("an endpoint that holds has an entry");
        entry.hold.as_mut().expect("it was begun")
    }

    /// Begins to hold, if the endpoint does not: from the known end of the held topic on. `whole`: all that comes for
    /// an ordered endpoint, not only what comes for its blocked keys.
    pub(super) fn begin_holding(&mut self, id: &EndpointId, whole: bool) {
        let end = self.held.end;
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.hold.is_none()) else { return };
        entry.hold = Some(Hold::begin(whole && matches!(entry.queue, Queue::Ordered(_))));
        if self.held.sweep.is_empty() {
            // Nobody misses what lies between.
            self.held.cursor.seek(end);
            self.held.sweep.turned_back(end);
        }
        self.held.sweep.enter((id.clone(), None), end, false);
        self.announce(id);
        metrics::counter!("postrider_holdings_begun_total").increment(1);
    }

    /// Writes down how an endpoint holds; nothing is appended before that is acknowledged.
    pub(super) fn announce(&mut self, id: &EndpointId) {
        let generation = self.remember(id, Urgency::Transition);
        let hold = self.hold_of(id);
        hold.announced_by = generation;
        hold.is_announced = false;
    }

    /// Writes down what is known of an endpoint.
    pub(super) fn remember(&mut self, id: &EndpointId, urgency: Urgency) -> u64 {
        let (now, broker_now) = (self.shared.uptime.of(Instant::now()), self.shared.clock.now());
        let Some(entry) = self.entries.get(id) else { return 0 };
        let (sweep, end) = (&self.held.sweep, self.held.end);
        let next = |key: Option<&str>| sweep.next_of(&(id.clone(), key.map(str::to_owned))).unwrap_or(end);
        let state = entry.state(id, now, broker_now, next);
        self.journal.put(state, urgency)
    }

    /// Appends what waits for it. An ordered endpoint's one after another: their order there is their order.
    pub(super) fn append_waiting(&mut self, id: &EndpointId) {
        let partition = self.stream.partition();
        if self.is_stopping() {
            return;
        }
        let Some(entry) = self.entries.get_mut(id) else { return };
        let at_once = if matches!(entry.queue, Queue::Ordered(_)) { 1 } else { MAX_APPENDING };
        let Some(hold) = entry.hold.as_mut().filter(|hold| hold.is_announced) else { return };
        while hold.appending < at_once
            && let Some((job, reason)) = hold.waiting.pop_front()
        {
            hold.appending += 1;
            self.to_hold_bytes -= job.value.len().min(self.to_hold_bytes);
            let (settler, id) = (self.shared.settler.clone(), id.clone());
            self.tasks.spawn(async move { Ok(Done::Appended(id, settler.hold(job, partition, reason).await?)) });
        }
    }

    pub(super) fn on_appended(&mut self, id: &EndpointId, offset: Option<i64>) {
        if let Some(offset) = offset {
            self.held.end = self.held.end.max(offset + 1);
        }
        let end = self.held.end;
        let hold = self.hold_of(id);
        hold.appending -= 1;
        if offset.is_some() {
            hold.appended_up_to = hold.appended_up_to.max(end);
        }
        self.append_waiting(id);
        self.refresh_room(id);
        self.end_holding_if_over(id);
    }

    /// A delivery that was taken from the held topic has ended, or goes on elsewhere.
    pub(super) fn held_is_done(&mut self, id: &EndpointId, offset: i64) {
        let next = self.held.sweep.next_of(&(id.clone(), None)).unwrap_or(self.held.end);
        let Some(hold) = self.entries.get_mut(id).and_then(|entry| entry.hold.as_mut()) else { return };
        if !hold.finish(offset, next)
            && let Some(blocked) = hold.blocked_that_took(offset)
        {
            blocked.outstanding.remove(offset);
        }
        metrics::counter!("postrider_held_done_total").increment(1);
        self.remember(id, Urgency::Position);
        self.refresh_room(id);
        self.end_holding_if_over(id);
    }

    /// Lets go of deliveries that were taken from the held topic and not attempted: they are met again.
    pub(super) fn forget(&mut self, id: &EndpointId, offsets: &[i64]) {
        let end = self.held.end;
        let Some(hold) = self.entries.get_mut(id).and_then(|entry| entry.hold.as_mut()) else { return };
        let (own, of_keys) = hold.by_owner(offsets);
        let holder = (id.clone(), None);
        if let Some(lowest) = own.iter().copied().min() {
            hold.forget(&own, self.held.sweep.next_of(&holder).unwrap_or(end));
            self.held.sweep.send_back(&holder, lowest);
        }
        for (key, offset) in of_keys {
            if let Some(blocked) = hold.blocked.get_mut(&key) {
                blocked.outstanding.remove(offset);
            }
            self.held.sweep.send_back(&(id.clone(), Some(key)), offset);
        }
        self.refresh_room(id);
    }

    /// The same, for what was taken out of a lane.
    pub(super) fn forget_jobs(&mut self, id: &EndpointId, jobs: Vec<Job>) {
        let offsets: Vec<i64> = jobs.iter().filter_map(|job| job.origin.held_offset()).collect();
        drop(jobs);
        self.forget(id, &offsets);
    }

    /// Lets go of everything that waits in memory: it is read again by the next owner.
    pub(super) fn forget_queues(&mut self) {
        self.to_hold_bytes = 0;
        for entry in self.entries.values_mut() {
            match &mut entry.queue {
                Queue::Unordered(lane) => drop(lane.drain()),
                Queue::Ordered(keys) => drop(keys.take_all()),
            }
            if let Some(hold) = &mut entry.hold {
                hold.waiting.clear();
            }
        }
    }

    /// Ends the holding once everything that was appended has been met and nothing of it is under way.
    pub(super) fn end_holding_if_over(&mut self, id: &EndpointId) {
        let holder = (id.clone(), None);
        self.release_keys(id);
        let sweep = &self.held.sweep;
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(hold) = entry.hold.as_mut() else { return };
        let met_all = sweep.is_caught_up(&holder) && sweep.next_of(&holder) >= Some(hold.appended_up_to);
        if !met_all || !hold.is_at_rest() || !hold.is_announced {
            return;
        }
        if !hold.blocked.is_empty() {
            if hold.blocked.len() <= FEW_BLOCKED_KEYS && std::mem::take(&mut hold.whole) {
                self.remember(id, Urgency::Transition);
            }
            return;
        }
        entry.hold = None;
        self.held.sweep.leave(&holder);
        self.remember(id, Urgency::Transition);
        metrics::counter!("postrider_holdings_ended_total").increment(1);
    }

    /// Ends what was passed over of an endpoint's held deliveries.
    pub(super) fn end_skipped(&mut self, id: &EndpointId, skipping: Skipping) {
        let (settler, id) = (self.shared.settler.clone(), id.clone());
        let Some(entry) = self.entries.get(&id) else { return };
        let counter = match skipping.reason {
            RangeReason::Skipped => metrics::counter!("postrider_skipped_total"),
            RangeReason::EndpointDeleted => {
                metrics::counter!("postrider_cancelled_total", "reason" => CancelReason::EndpointDeleted.as_str())
            }
        };
        counter.increment(skipping.count.unsigned_abs());
        let range = HeldRange {
            tenant: entry.tenant.clone(),
            endpoint: id.clone(),
            partition: held_place(&self.shared.topics.held(), self.stream.partition()),
            from: skipping.range.start,
            to: skipping.range.end,
            reason: skipping.reason,
            count: skipping.count,
            at: self.shared.clock.now(),
        };
        self.tasks.spawn(async move {
            settler.end_range(range).await?;
            Ok(Done::RangeEnded(id, skipping.range))
        });
    }

    pub(super) fn on_range_ended(&mut self, id: &EndpointId, range: &Range<i64>) {
        let Some(hold) = self.entries.get_mut(id).and_then(|entry| entry.hold.as_mut()) else { return };
        hold.outstanding.remove_range(range);
        self.remember(id, Urgency::Position);
        self.end_holding_if_over(id);
    }
}
