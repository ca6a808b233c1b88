//! What the owner of a partition has of one endpoint while there is something to have.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use postrider_domain::{
    Endpoint, EndpointId, Monotonic, TenantId, Timestamp,
    delivery_event::HoldReason,
    egress::EgressPolicy,
    endpoint_state::{AutoDisabled, EndpointState},
    failing::FailureRecord,
    seal::KeyRing,
};
use tokio::time::Instant;

use crate::directory::Directory;

use super::{
    hold::Hold,
    job::Job,
    keys::KeyQueues,
    lane::{Lane, LaneLimits},
    opened::{Opened, Unusable},
    pace::Pace,
};

/// How long after its time a parked delivery is still expected back.
const PARKED_SLACK: Duration = Duration::from_secs(10);

/// What waits for an endpoint.
#[derive(Debug)]
pub(super) enum Queue {
    /// In any order.
    Unordered(Lane<Job>),
    /// One at a time for each key.
    Ordered(KeyQueues<Job>),
}

/// What is needed to send, and the configuration that it was opened from.
#[derive(Debug)]
struct OpenedEndpoint {
    from: Arc<Endpoint>,
    opened: Result<Arc<Opened>, Unusable>,
}

/// One endpoint.
#[derive(Debug)]
pub(super) struct Entry {
    pub tenant: TenantId,
    pub queue: Queue,
    pub pace: Pace,
    pub failing: FailureRecord,
    pub disabled: Option<AutoDisabled>,
    pub hold: Option<Hold>,
    pub parked: Parked,
    pub last_used: Instant,
    /// When its lane is looked at again, if it waits for a time.
    pub wakes_at: Option<Instant>,
    opened: Option<OpenedEndpoint>,
}

impl Entry {
    /// An endpoint of which nothing is known.
    pub(super) fn new(tenant: TenantId, limits: &LaneLimits, now: Instant) -> Self {
        Self {
            tenant,
            queue: Queue::Unordered(Lane::new(now)),
            pace: Pace::new(limits.concurrency),
            failing: FailureRecord::default(),
            disabled: None,
            hold: None,
            parked: Parked::default(),
            last_used: now,
            wakes_at: None,
            opened: None,
        }
    }

    /// Goes by `endpoint`'s settings. What waits keeps its place when the endpoint begins or ceases to be ordered.
    pub(super) fn adopt(&mut self, endpoint: &Endpoint, limits: &LaneLimits, now: Instant) {
        self.pace.set_rate_limit(endpoint.settings.rate_limit);
        match (&mut self.queue, endpoint.settings.ordering.is_some()) {
            (Queue::Unordered(lane), true) => {
                let (held, fresh) = lane.drain();
                let mut keys = KeyQueues::default();
                held.into_iter()
                    .map(|job| (job, false))
                    .chain(fresh.into_iter().map(|job| (job, true)))
                    .for_each(|(job, fresh)| keys.push(&job.key(), job, fresh));
                self.queue = Queue::Ordered(keys);
                if let Some(hold) = &mut self.hold {
                    hold.whole = true;
                }
            }
            (Queue::Ordered(keys), false) if keys.is_resting() => {
                let mut lane = Lane::new(now);
                for job in keys.take_all() {
                    if job.origin.held_offset().is_some() {
                        lane.push_held(job);
                    } else {
                        let priority = job.routing.priority;
                        lane.push(job, priority, limits, now);
                    }
                }
                self.queue = Queue::Unordered(lane);
            }
            _ => {}
        }
    }

    /// What is needed to send, opened anew only when the endpoint's configuration changed.
    pub(super) fn opened(
        &mut self,
        endpoint: &Arc<Endpoint>,
        keys: &KeyRing,
        policy: &EgressPolicy,
    ) -> Result<Arc<Opened>, Unusable> {
        match &self.opened {
            Some(known) if Arc::ptr_eq(&known.from, endpoint) => known.opened.clone(),
            _ => {
                let opened = Opened::open(endpoint, keys, policy).map(Arc::new);
                self.opened = Some(OpenedEndpoint { from: endpoint.clone(), opened: opened.clone() });
                opened
            }
        }
    }

    /// Why nothing is sent to it, if nothing is. What holds all that is its tenant's comes first.
    pub(super) fn inactive(&self, endpoint: &Endpoint, directory: &Directory, now: Timestamp) -> Option<HoldReason> {
        directory.tenant_hold(&endpoint.tenant, now).or_else(|| self.inactive_itself(endpoint, now))
    }

    fn inactive_itself(&self, endpoint: &Endpoint, now: Timestamp) -> Option<HoldReason> {
        let failed = self.disabled.is_some_and(|disabled| disabled.enabled_version >= endpoint.enabled_version);
        if endpoint.settings.paused {
            Some(HoldReason::Paused)
        } else if !endpoint.enabled || failed {
            Some(HoldReason::Disabled)
        } else if endpoint.settings.maintenance.iter().any(|window| window.contains(now)) {
            Some(HoldReason::Maintenance)
        } else {
            None
        }
    }

    /// How many wait in its lane.
    pub(super) fn queued(&self) -> usize {
        match &self.queue {
            Queue::Unordered(lane) => lane.len(),
            Queue::Ordered(keys) => keys.len(),
        }
    }

    /// How many were read before they could be sent although it takes some.
    pub(super) fn read_ahead(&self, is_late: bool, now: Instant) -> usize {
        match &self.queue {
            Queue::Unordered(lane) => lane.read_ahead(is_late, now),
            Queue::Ordered(_) => 0, // its bound is its own, and what is past it is held in order
        }
    }

    /// Whether there is something to remember of how it does.
    pub(super) fn is_remembered(&self) -> bool {
        self.disabled.is_some() || self.failing != FailureRecord::default() || self.pace.is_broken()
    }

    /// Whether there is nothing to have of it.
    pub(super) fn is_idle(&mut self, now: Monotonic, broker_now: Timestamp) -> bool {
        let empty = match &self.queue {
            Queue::Unordered(lane) => lane.len() == 0,
            Queue::Ordered(keys) => keys.is_empty(),
        };
        empty
            && self.hold.is_none()
            && !self.is_remembered()
            && self.pace.is_idle(now)
            && self.parked.count(broker_now) == 0
    }

    /// What is to be remembered of it. `term` is filled in by the journal.
    pub(super) fn state(
        &self,
        id: &EndpointId,
        now: Monotonic,
        broker_now: Timestamp,
        next: impl Fn(Option<&str>) -> i64,
    ) -> EndpointState {
        EndpointState {
            failing: self.failing,
            breaker: self.pace.snapshot(now, broker_now),
            disabled: self.disabled,
            holding: self.hold.as_ref().map(|hold| hold.holding(next)),
            ..EndpointState::new(id.clone(), self.tenant.clone(), 0)
        }
    }
}

/// How many of an endpoint's deliveries are parked, as far as their owner knows: by when they are due.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// By second.
    due: VecDeque<(Timestamp, usize)>,
    count: usize,
}

impl Parked {
    /// One more is parked until `until`.
    pub(super) fn add(&mut self, until: Timestamp) {
        let second = Timestamp::from_millis(until.as_seconds() * 1_000);
        self.count += 1;
        match self.due.iter_mut().rev().find(|(at, _)| *at <= second) {
            Some((at, count)) if *at == second => *count += 1,
            _ => {
                let place = self.due.partition_point(|(at, _)| *at < second);
                self.due.insert(place, (second, 1));
            }
        }
    }

    /// How many are not due yet.
    pub(super) fn count(&mut self, now: Timestamp) -> usize {
        while let Some((at, count)) = self.due.front()
            && *at + PARKED_SLACK < now
        {
            self.count -= count;
            self.due.pop_front();
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_deliveries_count_until_they_are_due() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let mut parked = Parked::default();
        for seconds in [30, 300, 31, 30] {
            parked.add(at(seconds));
        }
        assert_eq!(parked.count(at(0)), 4);
        assert_eq!(parked.count(at(41)), 2);
        assert_eq!(parked.count(at(42)), 1);
        assert_eq!(parked.count(at(400)), 0);
    }
}
