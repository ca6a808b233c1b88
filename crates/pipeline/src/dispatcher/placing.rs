//! Where a delivery that arrives goes: to its lane, aside, or nowhere any more.

use std::{collections::HashSet, time::Duration};

use postrider_domain::{
    Delivery, DeliveryEventBody, DeliveryKind, Endpoint, EndpointId, ErrorClass, Priority, Routing, Run,
    delivery_event::{CancelReason, Cancelled, DeadLettered, HoldReason, ParkReason, Parked, Skipped},
    tier::is_early,
};
use postrider_kafka::Sink;
use tokio::time::Instant;

use super::{
    entry::{Entry, Queue},
    job::Job,
    lane::{LANE_PATIENCE, LaneLimits, Room},
    partition::{Done, Head, Partition},
    verdict::{HandOff, put_aside},
};
use crate::{directory::Lookup, egress::Courier};

/// How long a delivery waits for the directory to reach its version before it is parked.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(5);
/// How long a test send waits for its endpoint to be known.
const TEST_PATIENCE: Duration = Duration::from_secs(30);

/// Where a delivery waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In its lane.
    Lane,
    /// In its lane, soon: its partition waits.
    LaneSoon,
    /// In a tier.
    Park(ParkReason, Duration),
    /// In the held topic.
    Hold(HoldReason),
}

/// What a delivery's place depends on besides its endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// Why nothing is sent to the endpoint, if nothing is.
    pub inactive: Option<HoldReason>,
    /// How many of the endpoint's are parked.
    pub parked: usize,
    /// How long until the delivery would have its turn, as far as the endpoint's pace says.
    pub turn: Duration,
    /// Whether the breaker is open.
    pub broken: bool,
    /// Whether some of the endpoint's are held.
    pub holding: bool,
    /// Whether the delivery has been tried, or was put aside, before.
    pub returned: bool,
}

/// Where a delivery of an endpoint that is not ordered waits.
pub(super) fn place(room: Room, limits: &LaneLimits, of: Circumstances) -> Place {
    if let Some(reason) = of.inactive {
        return Place::Hold(reason);
    }
    let far = of.turn > limits.hold_after || of.parked >= limits.max_parked;
    if of.broken && of.holding && of.returned {
        return Place::Hold(HoldReason::BreakerOpen);
    }
    match room {
        Room::Yes if of.turn <= LANE_PATIENCE => Place::Lane,
        _ if of.holding && of.broken => Place::Hold(HoldReason::BreakerOpen),
        _ if of.holding || far => Place::Hold(HoldReason::Backlog),
        Room::Yes => Place::Park(if of.broken { ParkReason::BreakerOpen } else { ParkReason::LaneFull }, of.turn),
        // It works off what it has: what does not fit follows as soon as there is room.
        Room::Overflow => Place::Hold(HoldReason::Backlog),
        Room::No(waited) => {
            let reason = if of.broken { ParkReason::BreakerOpen } else { ParkReason::LaneFull };
            Place::Park(reason, waited.max(of.turn))
        }
        Room::Soon => Place::LaneSoon,
    }
}

impl<S: Sink, C: Courier> Partition<S, C> {
    /// Brings a delivery to its endpoint's lane, or wherever it has to wait.
    pub(super) fn route(&mut self, job: Job) {
        let now = self.shared.clock.now();
        let ordered = self.shared.overrides.of(&job.delivery.message_id, &job.delivery.run);
        if let Some(reason) = ordered.and_then(|order| order.ends(&job.routing, now)) {
            return self.cancel(job, reason);
        }
        match self.shared.directory.lookup(&job.delivery.endpoint, job.routing.version) {
            Lookup::Behind => self.wait_for_directory(job),
            Lookup::Deleted => self.cancel(job, CancelReason::EndpointDeleted),
            Lookup::Known(endpoint) if job.delivery.kind == DeliveryKind::Test => {
                self.send_test_until(job, endpoint, Instant::now() + TEST_PATIENCE);
            }
            // What waited for the directory comes first.
            Lookup::Known(_) if self.is_behind(&job.delivery.endpoint) => self.wait_for_directory(job),
            Lookup::Known(endpoint) if is_skipped(&job, &endpoint) => self.skip(job, &endpoint),
            Lookup::Known(endpoint) => self.admit(job, &endpoint),
        }
    }

    /// Whether a delivery of the endpoint still waits for the directory.
    fn is_behind(&self, id: &EndpointId) -> bool {
        self.behind.iter().any(|(_, job)| job.delivery.endpoint == *id && job.delivery.kind == DeliveryKind::Live)
    }

    fn wait_for_directory(&mut self, mut job: Job) {
        if !self.reserve_memory(&mut job) {
            return self.heads.push_back(Head::NoRoom(Box::new(job)));
        }
        let test = job.delivery.kind == DeliveryKind::Test;
        let patience = if test { TEST_PATIENCE } else { DIRECTORY_PATIENCE };
        self.behind.push_back((Instant::now() + patience, job));
    }

    /// Looks again at what waits for the directory, in its order.
    pub(super) fn retry_behind(&mut self) {
        let waiting = std::mem::take(&mut self.behind);
        let mut still_behind = HashSet::new();
        for (until, job) in waiting {
            let id = job.delivery.endpoint.clone();
            let in_time = Instant::now() < until;
            let is_test = job.delivery.kind == DeliveryKind::Test;
            match self.shared.directory.lookup(&id, job.routing.version) {
                // What may be ordered stays, and what came after it stays behind it.
                Lookup::Behind if in_time || !is_test && job.delivery.ordering_key.is_some() => {
                    still_behind.insert(id);
                    self.behind.push_back((until, job));
                }
                Lookup::Behind if is_test => {
                    self.end_test(job, ErrorClass::EndpointUnknown, "the endpoint did not become known");
                }
                Lookup::Behind => self.park(job, ParkReason::DirectoryBehind, DIRECTORY_PATIENCE),
                Lookup::Known(_) if is_test && !in_time => {
                    self.end_test(job, ErrorClass::Timeout, "too many other tests were under way");
                }
                Lookup::Known(endpoint) if is_test => self.send_test_until(job, endpoint, until),
                Lookup::Known(_) if still_behind.contains(&id) => self.behind.push_back((until, job)),
                Lookup::Known(endpoint) if !is_skipped(&job, &endpoint) => self.admit(job, &endpoint),
                Lookup::Known(_) | Lookup::Deleted => self.route(job),
            }
        }
    }

    fn end_test(&mut self, job: Job, error: ErrorClass, why: &str) {
        let message = format!("{why} within {} s", TEST_PATIENCE.as_secs());
        let body = DeliveryEventBody::DeadLettered(DeadLettered { error, error_message: Some(message) });
        self.conclude(job, body, HandOff::None);
    }

    /// Takes the delivery's share of the memory for waiting deliveries, if it has not got it and there is room.
    pub(super) fn reserve_memory(&self, job: &mut Job) -> bool {
        if job.memory.is_none() {
            let delivery = &job.delivery;
            let (bytes, priority) = (job.value.len(), job.routing.priority);
            job.memory = self.shared.memory.reserve(&delivery.tenant, &delivery.endpoint, bytes, priority).ok();
        }
        job.memory.is_some()
    }

    /// What there is of a delivery's endpoint.
    pub(super) fn entry_of(&mut self, delivery: &Delivery) -> &mut Entry {
        let limits = &self.shared.limits;
        self.entries
            .entry(delivery.endpoint.clone())
            .or_insert_with(|| Entry::new(delivery.tenant.clone(), limits, Instant::now()))
    }

    fn admit(&mut self, mut job: Job, endpoint: &Endpoint) {
        let (now, broker_now) = (Instant::now(), self.shared.clock.now());
        let monotonic = self.shared.uptime.of(now);
        let limits = self.shared.limits;
        let directory = self.shared.directory.clone();
        let id = job.delivery.endpoint.clone();
        let entry = self.entry_of(&job.delivery);
        entry.last_used = now;
        entry.adopt(endpoint, &limits, now);
        let inactive = entry.inactive(endpoint, &directory, broker_now);
        let lane = match &entry.queue {
            Queue::Ordered(_) => return self.admit_ordered(job, inactive),
            Queue::Unordered(lane) => lane,
        };
        if let Some(due) = job.routing.not_before.filter(|due| inactive.is_none() && is_early(*due, broker_now)) {
            return self.park(job, ParkReason::NotDue, due.at.since(broker_now));
        }
        let priority = job.routing.priority;
        let (room, queued) = (lane.room(priority, &limits, now), lane.len_before(priority));
        let parked = entry.parked.count(broker_now);
        // What is parked comes back when its time has come; what is urgent does not wait for that.
        let before = queued + if priority == Priority::High { 0 } else { parked };
        let circumstances = Circumstances {
            inactive,
            parked,
            turn: entry.pace.turn_of(before, monotonic),
            broken: entry.pace.is_broken(),
            holding: entry.hold.is_some(),
            returned: job.routing.not_before.is_some(),
        };
        match place(room, &limits, circumstances) {
            Place::Hold(reason) => self.hold(job, reason),
            Place::Park(reason, wait) => self.park(job, reason, wait),
            Place::LaneSoon => self.heads.push_back(Head::NoRoom(Box::new(job))),
            Place::Lane if !self.reserve_memory(&mut job) => {
                if circumstances.holding {
                    self.hold(job, HoldReason::Backlog);
                } else {
                    self.park(job, ParkReason::MemoryFull, limits.park_after);
                }
            }
            Place::Lane => {
                if let Some(Queue::Unordered(lane)) = self.entries.get_mut(&id).map(|entry| &mut entry.queue) {
                    lane.push(job, priority, &limits, now);
                }
                self.start(&id);
            }
        }
    }

    /// Ends a delivery that is no longer wanted.
    pub(super) fn cancel(&mut self, job: Job, reason: CancelReason) {
        metrics::counter!("postrider_cancelled_total", "reason" => reason.as_str()).increment(1);
        match reason {
            // The copy that was sent in its place says what became of it.
            CancelReason::Superseded => self.settle_silently(job),
            _ => self.conclude(job, DeliveryEventBody::Cancelled(Cancelled { reason }), HandOff::None),
        }
    }

    fn settle_silently(&mut self, job: Job) {
        let id = job.delivery.endpoint;
        match job.origin {
            super::job::Origin::Deliveries(_, token) => token.settle(),
            super::job::Origin::Held(at) => self.held_is_done(&id, at.offset),
        }
    }

    pub(super) fn skip(&mut self, job: Job, endpoint: &Endpoint) {
        metrics::counter!("postrider_skipped_total").increment(1);
        let before = endpoint.settings.skip_before.unwrap_or(job.routing.matched_at);
        self.conclude(job, DeliveryEventBody::Skipped(Skipped { before }), HandOff::None);
    }

    /// Puts a delivery aside for about `wait`, its attempt unchanged.
    pub(super) fn park(&mut self, job: Job, reason: ParkReason, wait: Duration) {
        if let Some(offset) = job.origin.held_offset() {
            // It keeps its place: not tried, it is not rewritten.
            return self.forget(&job.delivery.endpoint, &[offset]);
        }
        metrics::counter!("postrider_parked_total", "reason" => reason.as_str()).increment(1);
        let now = self.shared.clock.now();
        let routing = match (reason, job.routing.not_before) {
            (ParkReason::NotDue, Some(_)) => job.routing.clone(),
            _ => put_aside(&job.routing, now, wait),
        };
        let until = routing.not_before.map_or(now, |due| due.at);
        if let Some(entry) = self.entries.get_mut(&job.delivery.endpoint)
            && reason != ParkReason::NotDue
        {
            entry.parked.add(until);
        }
        let tier = self.shared.tiers.parking(wait).clone();
        let body = DeliveryEventBody::Parked(Parked { reason, until });
        self.conclude(job, body, HandOff::Tier(tier, routing));
    }

    /// Makes a delivery's fate durable.
    pub(super) fn conclude(&mut self, mut job: Job, body: DeliveryEventBody, to: HandOff) {
        job.memory = None;
        let settler = self.shared.settler.clone();
        let id = job.delivery.endpoint.clone();
        self.tasks.spawn(async move { Ok(Done::Concluded(id, settler.conclude(job, body, to).await?)) });
    }
}

/// Whether the endpoint was resumed without what was matched when this was.
pub(super) fn is_skipped(job: &Job, endpoint: &Endpoint) -> bool {
    skips(&job.delivery.run, &job.routing, endpoint)
}

/// Whether the endpoint was resumed without what was matched when this was.
pub(super) fn skips(run: &Run, routing: &Routing, endpoint: &Endpoint) -> bool {
    *run == Run::LIVE && endpoint.settings.skip_before.is_some_and(|before| routing.matched_at < before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LaneLimits = LaneLimits {
        max_queued: 8,
        concurrency: 4,
        park_after: Duration::from_secs(2),
        hold_after: Duration::from_mins(5),
        max_parked: 100,
        ordered_wait: Duration::from_mins(1),
    };
    const CALM: Circumstances = Circumstances {
        inactive: None,
        parked: 0,
        turn: Duration::ZERO,
        broken: false,
        holding: false,
        returned: false,
    };

    #[test]
    fn every_circumstance_has_its_place() {
        let waited = Duration::from_secs(3);
        let late = Duration::from_secs(301);
        let table = [
            (Room::Yes, CALM, Place::Lane),
            (Room::Soon, CALM, Place::LaneSoon),
            (Room::No(waited), CALM, Place::Park(ParkReason::LaneFull, waited)),
            (Room::No(waited), Circumstances { broken: true, ..CALM }, Place::Park(ParkReason::BreakerOpen, waited)),
            (Room::No(waited), Circumstances { turn: late, ..CALM }, Place::Hold(HoldReason::Backlog)),
            (Room::No(waited), Circumstances { parked: 100, ..CALM }, Place::Hold(HoldReason::Backlog)),
            (Room::Soon, Circumstances { holding: true, ..CALM }, Place::Hold(HoldReason::Backlog)),
            (Room::Overflow, CALM, Place::Hold(HoldReason::Backlog)),
            (
                Room::Yes,
                Circumstances { turn: Duration::from_mins(1), ..CALM },
                Place::Park(ParkReason::LaneFull, Duration::from_mins(1)),
            ),
            (Room::Yes, Circumstances { holding: true, broken: true, ..CALM }, Place::Lane),
            (
                Room::Yes,
                Circumstances { holding: true, broken: true, returned: true, ..CALM },
                Place::Hold(HoldReason::BreakerOpen),
            ),
            (Room::Yes, Circumstances { inactive: Some(HoldReason::Paused), ..CALM }, Place::Hold(HoldReason::Paused)),
        ];
        for (room, circumstances, wanted) in table {
            assert_eq!(place(room, &LIMITS, circumstances), wanted, "{room:?} {circumstances:?}");
        }
    }
}
