//! One partition of the deliveries topic: its endpoints' lanes and the loop that moves deliveries through them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use postrider_domain::{
    DeliveryEventBody, Endpoint, EndpointId, Routing,
    delivery::NotBefore,
    delivery_event::{CancelReason, Cancelled, ParkReason, Parked},
    egress::EgressPolicy,
    seal::KeyRing,
    tier::is_early,
};
use postrider_kafka::{Codec, Fingerprint, Inbound, PartitionStream, ProduceError, ReadinessHandle, Sink};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};

use super::{
    attempt::{Attempts, LaneSlot},
    job::{Job, NotAJob, decode},
    lane::{Admission, Lane, LaneLimits},
    opened::{Opened, Unusable},
    verdict::HandOff,
};
use crate::{
    directory::{Directory, Lookup},
    egress::Courier,
    stage::{self, StageError, result_of},
};

/// How long a delivery waits for the directory to reach its version before it is parked.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(5);
/// How long what is meant for a disabled endpoint is parked at a time.
const DISABLED_PARK: Duration = Duration::from_secs(30);
/// How often what waits for room is looked at, besides whenever a request ends.
const RECHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How often lanes that have been idle for as long are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// Attempts and writes of one partition that may be under way; past it nothing more is read.
const MAX_TASKS: usize = 4_096;
/// The unit in which the memory for waiting deliveries is counted.
pub(super) const MEMORY_UNIT_BYTES: usize = 1_024;

/// What every partition of a process shares.
pub(super) struct Shared<S, C> {
    pub attempts: Attempts<S, C>,
    pub directory: Directory,
    pub codec: Codec,
    pub keys: KeyRing,
    pub policy: EgressPolicy,
    pub limits: LaneLimits,
    /// The memory for waiting deliveries, in units.
    pub memory: Arc<Semaphore>,
    pub readiness: Arc<ReadinessHandle>,
}

/// What is needed to send, and the configuration that it was opened from.
struct OpenedEndpoint {
    from: Arc<Endpoint>,
    opened: Result<Arc<Opened>, Unusable>,
}

struct EndpointLane {
    lane: Lane<Job>,
    opened: Option<OpenedEndpoint>,
    last_used: Instant,
}

/// The head of the partition, when it can't be taken further yet: nothing is read past it.
enum Head {
    /// Its schema has to be learned.
    Unreadable(Inbound, Fingerprint),
    /// There is no room for it to wait in, but soon will be.
    NoRoom(Box<Job>),
}

/// One assigned partition at work.
pub(super) struct Partition<S, C> {
    shared: Arc<Shared<S, C>>,
    stream: PartitionStream,
    lanes: HashMap<EndpointId, EndpointLane>,
    tasks: JoinSet<Result<(), ProduceError>>,
    freed: (mpsc::UnboundedSender<EndpointId>, mpsc::UnboundedReceiver<EndpointId>),
    /// Deliveries matched under a version that the directory has not reached, and until when they wait.
    behind: VecDeque<(Instant, Job)>,
    /// What can't be taken further yet: more than one only when a delivery that waited for the directory meets a full
    /// lane.
    heads: VecDeque<Head>,
    /// Whether a lane may hold deliveries only because too much is in doubt.
    gated: bool,
    next_recheck: Instant,
    next_sweep: Instant,
}

impl<S: Sink, C: Courier> Partition<S, C> {
    pub(super) fn new(shared: Arc<Shared<S, C>>, stream: PartitionStream) -> Self {
        Self {
            shared,
            stream,
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
            // Unbounded, but holds at most one entry for each request in flight.
            freed: mpsc::unbounded_channel(),
            behind: VecDeque::new(),
            heads: VecDeque::new(),
            gated: false,
            next_recheck: Instant::now(),
            next_sweep: Instant::now() + SWEEP_INTERVAL,
        }
    }

    /// Works until the partition is revoked or the process stops, then drains. Error: a write failed for good.
    pub(super) async fn run(mut self) -> Result<(), StageError> {
        let (stopped, aborted) = (self.stream.stopped(), self.stream.aborted());
        loop {
            let reading = self.heads.is_empty() && self.tasks.len() < MAX_TASKS;
            let waiting = !reading || !self.behind.is_empty() || self.gated;
            let wake = if waiting { self.next_recheck } else { self.next_sweep };
            tokio::select! {
                biased;
                () = stopped.cancelled() => break,
                Some(endpoint) = self.freed.1.recv() => self.finish(&endpoint),
                Some(done) = self.tasks.join_next() => result_of(done)?,
                () = tokio::time::sleep_until(wake) => if waiting { self.recheck() } else { self.sweep() },
                inbound = stage::next(&self.shared.directory, &mut self.stream), if reading => match inbound {
                    Some(inbound) => self.take(inbound),
                    None => break,
                },
            }
        }
        // What was not begun is read again by the next owner.
        self.lanes.clear();
        self.behind.clear();
        self.heads.clear();
        loop {
            tokio::select! {
                () = aborted.cancelled() => return Ok(()),
                done = self.tasks.join_next() => match done {
                    Some(done) => result_of(done)?,
                    None => return Ok(()),
                },
            }
        }
    }

    fn take(&mut self, inbound: Inbound) {
        match decode(&inbound.record, &self.shared.codec) {
            Ok((delivery, routing)) => {
                let record = inbound.record;
                let value = record.value.unwrap_or_default();
                self.route(Job { value, delivery, routing, token: inbound.token, memory: None });
            }
            Err(NotAJob::UnknownSchema(fingerprint)) => {
                self.shared.readiness.unready(format!(
                    "partition {} of {} waits for schema {fingerprint} to be published",
                    self.stream.partition(),
                    self.stream.topic()
                ));
                self.heads.push_back(Head::Unreadable(inbound, fingerprint));
            }
            Err(NotAJob::Corrupt(message)) => {
                let settler = self.shared.attempts.settler.clone();
                self.tasks.spawn(async move { settler.reject(inbound.record, inbound.token, message).await });
            }
        }
    }

    /// Brings a delivery to its endpoint's lane, or wherever it has to wait.
    fn route(&mut self, job: Job) {
        let now = self.shared.attempts.clock.now();
        match self.shared.directory.lookup(&job.delivery.endpoint, job.routing.version) {
            Lookup::Behind => self.wait_for_directory(job),
            Lookup::Deleted => self.cancel(job),
            Lookup::Known(endpoint) if !endpoint.enabled => self.park(job, ParkReason::Disabled, DISABLED_PARK),
            Lookup::Known(_) => match job.routing.not_before {
                Some(due) if is_early(due, now) => self.park(job, ParkReason::NotDue, due.at.since(now)),
                _ => self.admit(job),
            },
        }
    }

    fn wait_for_directory(&mut self, mut job: Job) {
        if self.reserve_memory(&mut job) {
            self.behind.push_back((Instant::now() + DIRECTORY_PATIENCE, job));
        } else {
            self.heads.push_back(Head::NoRoom(Box::new(job)));
        }
    }

    /// Takes the delivery's share of the memory for waiting deliveries, if it has not got it and there is room.
    fn reserve_memory(&self, job: &mut Job) -> bool {
        if job.memory.is_none() {
            let units = u32::try_from(job.value.len().div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX);
            job.memory = self.shared.memory.clone().try_acquire_many_owned(units).ok();
        }
        job.memory.is_some()
    }

    fn admit(&mut self, mut job: Job) {
        if !self.reserve_memory(&mut job) {
            return self.park(job, ParkReason::MemoryFull, self.shared.limits.park_after);
        }
        let now = Instant::now();
        let id = job.delivery.endpoint.clone();
        let lane = self.lanes.entry(id.clone()).or_insert_with(|| EndpointLane {
            lane: Lane::default(),
            opened: None,
            last_used: now,
        });
        lane.last_used = now;
        match lane.lane.admit(job, self.shared.limits, now) {
            Admission::Queued => self.start(&id),
            Admission::Full(job) => self.heads.push_back(Head::NoRoom(Box::new(job))),
            Admission::Park(job, wait) => self.park(job, ParkReason::LaneFull, wait),
        }
    }

    /// Sends what the endpoint's lane lets go.
    fn start(&mut self, id: &EndpointId) {
        loop {
            if !self.shared.attempts.settler.may_send() {
                self.gated = true;
                return;
            }
            let Some(entry) = self.lanes.get_mut(id) else { return };
            let Some(job) = entry.lane.start_next(self.shared.limits) else { return };
            let slot = LaneSlot::new(id.clone(), self.freed.0.clone());
            // Looked up again: it may have been edited while the delivery waited.
            match self.shared.directory.lookup(id, job.routing.version) {
                Lookup::Known(endpoint) if endpoint.enabled => {
                    let opened = entry.opened(&endpoint, &self.shared.keys, &self.shared.policy);
                    let attempts = self.shared.attempts.clone();
                    self.tasks.spawn(async move { attempts.make(job, endpoint, opened, slot).await });
                }
                Lookup::Known(_) => self.park(job, ParkReason::Disabled, DISABLED_PARK),
                Lookup::Behind => self.wait_for_directory(job),
                Lookup::Deleted => self.cancel(job),
            }
        }
    }

    fn finish(&mut self, id: &EndpointId) {
        if let Some(entry) = self.lanes.get_mut(id) {
            entry.lane.finish();
        }
        self.start(id);
        let waits_for_it = |head: &Head| matches!(head, Head::NoRoom(job) if job.delivery.endpoint == *id);
        if self.heads.iter().any(waits_for_it) {
            self.retry_heads();
        }
    }

    /// Looks again at everything that waits for something other than a request's end.
    fn recheck(&mut self) {
        self.retry_heads();
        for _ in 0..self.behind.len() {
            let Some((until, job)) = self.behind.pop_front() else { break };
            match self.shared.directory.lookup(&job.delivery.endpoint, job.routing.version) {
                Lookup::Behind if Instant::now() < until => self.behind.push_back((until, job)),
                Lookup::Behind => self.park(job, ParkReason::DirectoryBehind, DIRECTORY_PATIENCE),
                Lookup::Known(_) | Lookup::Deleted => self.route(job),
            }
        }
        if std::mem::take(&mut self.gated) {
            let ids: Vec<EndpointId> = self.lanes.keys().cloned().collect();
            for id in &ids {
                self.start(id);
            }
        }
        self.next_recheck = Instant::now() + RECHECK_INTERVAL;
    }

    /// Forgets the lanes that have been idle for long.
    fn sweep(&mut self) {
        let now = Instant::now();
        self.next_sweep = now + SWEEP_INTERVAL;
        self.lanes.retain(|_, entry| !entry.lane.is_idle() || now < entry.last_used + SWEEP_INTERVAL);
    }

    fn retry_heads(&mut self) {
        for head in std::mem::take(&mut self.heads) {
            match head {
                Head::NoRoom(job) => self.route(*job),
                Head::Unreadable(inbound, fingerprint) if self.shared.codec.knows(fingerprint) => {
                    self.shared.readiness.ready();
                    self.take(inbound);
                }
                unreadable @ Head::Unreadable(..) => self.heads.push_back(unreadable),
            }
        }
    }

    fn cancel(&mut self, job: Job) {
        metrics::counter!("postrider_cancelled_total", "reason" => "endpoint_deleted").increment(1);
        let body = DeliveryEventBody::Cancelled(Cancelled { reason: CancelReason::EndpointDeleted });
        self.conclude(job, body, HandOff::None);
    }

    /// Puts a delivery aside for about `wait`, its attempt unchanged.
    fn park(&mut self, job: Job, reason: ParkReason, wait: Duration) {
        metrics::counter!("postrider_parked_total", "reason" => park_reason(reason)).increment(1);
        let at = self.shared.attempts.clock.now() + wait;
        let not_before = match reason {
            ParkReason::NotDue => job.routing.not_before.unwrap_or(NotBefore { at, whole_delay: wait }),
            _ => NotBefore { at, whole_delay: wait },
        };
        let tier = self.shared.attempts.tiers.parking(wait).clone();
        let routing = Routing { not_before: Some(not_before), ..job.routing.clone() };
        let body = DeliveryEventBody::Parked(Parked { reason, until: not_before.at });
        self.conclude(job, body, HandOff::Tier(tier, routing));
    }

    fn conclude(&mut self, mut job: Job, body: DeliveryEventBody, hand_off: HandOff) {
        job.memory = None;
        let settler = self.shared.attempts.settler.clone();
        self.tasks.spawn(async move { settler.conclude(job, body, hand_off).await });
    }
}

impl EndpointLane {
    /// What is needed to send, opened anew only when the endpoint's configuration changed.
    fn opened(
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
}

fn park_reason(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::LaneFull => "lane_full",
        ParkReason::MemoryFull => "memory_full",
        ParkReason::Disabled => "disabled",
        ParkReason::DirectoryBehind => "directory_behind",
        ParkReason::NotDue => "not_due",
        ParkReason::BreakerOpen => "breaker_open",
        ParkReason::EgressDown => "egress_down",
    }
}
