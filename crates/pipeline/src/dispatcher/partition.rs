//! One partition of the deliveries topic and of its companions: the loop that moves deliveries through the lanes of
//! their endpoints. What is done with what it meets is in `placing`, `sending`, `holding`, `ordering` and `sweeping`.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use postrider_domain::{
    DirectoryVersion, EndpointId, egress::EgressPolicy, endpoint_state::EndpointState, failing::DisableRule,
    outcome::Jitter, seal::KeyRing, tier::Tiers,
};
use postrider_kafka::{
    BrokerClock, Codec, Fingerprint, Inbound, Layout, PartitionCursor, PartitionStream, ProduceError, ReadinessHandle,
    Sink, Topics,
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use super::{
    attempt::Answered,
    entry::Entry,
    gate::Gate,
    hold::{Hold, Sweep},
    job::{Job, NotAJob, decode},
    lane::LaneLimits,
    lateness::Lateness,
    memory::Memory,
    overrides::Overrides,
    read_ahead::ReadAhead,
    settle::Settler,
    state::{Acknowledged, Journal, StateBudget},
    sweeping::HeldReader,
    uptime::Uptime,
};
use crate::{
    directory::Directory,
    egress::Courier,
    stage::{self, StageError, result_of},
};

/// How often what waits for something that tells nobody is looked at.
const RECHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How often lanes that have been idle for as long are forgotten.
const IDLE_INTERVAL: Duration = Duration::from_mins(1);
/// How often held deliveries are looked at for those that were held for too long.
const EXPIRY_INTERVAL: Duration = Duration::from_hours(1);
/// Writes of one partition that may be under way; past it nothing more is read.
pub(super) const MAX_TASKS: usize = 4_096;
/// Bytes of deliveries of one partition that may wait to be held; past it nothing more is read.
const MAX_TO_HOLD_BYTES: usize = 8 * 1024 * 1024;

/// What every partition of a process shares.
pub(super) struct Shared<S, C> {
    pub courier: C,
    pub settler: Settler<S>,
    pub sink: S,
    pub layout: Layout,
    pub topics: Topics,
    pub tiers: Arc<Tiers>,
    pub clock: BrokerClock,
    /// Draws the jitter of retries and breakers.
    pub jitter: fn() -> Jitter,
    pub directory: Directory,
    pub overrides: Overrides,
    pub gate: Gate,
    pub codec: Codec,
    pub keys: KeyRing,
    pub policy: EgressPolicy,
    pub limits: LaneLimits,
    pub disable: DisableRule,
    pub memory: Memory,
    /// Test sends that may be in flight.
    pub test_sends: Arc<Semaphore>,
    pub state_budget: Arc<StateBudget>,
    pub readiness: Arc<ReadinessHandle>,
    pub uptime: Uptime,
    pub lateness: Lateness,
}

/// The head of the partition, when it can't be taken further yet: nothing is read past it.
pub(super) enum Head {
    /// Its schema has to be learned.
    Unreadable(Inbound, Fingerprint),
    /// There is no room for it to wait in, but soon will be.
    NoRoom(Box<Job>),
}

/// What a task of the partition has done.
pub(super) enum Done {
    /// An attempt has ended.
    Answered(Box<Answered>),
    /// It is known whether the attempt failed for want of a way out.
    Judged(Box<Answered>, postrider_domain::gate::Verdict),
    /// A delivery has ended or goes on elsewhere, and that is durable.
    Concluded(EndpointId, Option<i64>),
    /// A delivery was appended to the held topic; none: no topic takes it.
    Appended(EndpointId, Option<i64>),
    /// A range of held deliveries was ended.
    RangeEnded(EndpointId, Range<i64>),
    /// Something was written that nobody waits for.
    Written,
}

/// One assigned partition at work.
pub(super) struct Partition<S, C> {
    pub(super) shared: Arc<Shared<S, C>>,
    pub(super) stream: PartitionStream,
    pub(super) entries: HashMap<EndpointId, Entry>,
    pub(super) journal: Journal<S>,
    pub(super) held: HeldReader,
    pub(super) tasks: JoinSet<Result<Done, ProduceError>>,
    /// Deliveries matched under a version that the directory has not reached, and until when they wait.
    pub(super) behind: VecDeque<(Instant, Job)>,
    /// What can't be taken further yet: more than one only when a delivery that waited for the directory meets a full
    /// lane.
    pub(super) heads: VecDeque<Head>,
    /// The endpoints whose lanes wait for a time.
    pub(super) wakes: BTreeSet<(Instant, EndpointId)>,
    /// The endpoints whose lanes wait because too much is in doubt.
    pub(super) gated: HashSet<EndpointId>,
    /// The directory's version that the holders were last looked at under.
    seen: DirectoryVersion,
    /// Attempts among the tasks: the memory for waiting deliveries bounds them.
    pub(super) attempts: usize,
    /// Bytes of deliveries that wait to be held.
    pub(super) to_hold_bytes: usize,
    read_ahead: ReadAhead,
    stopping: bool,
    next_recheck: Instant,
    next_idle_check: Instant,
    next_hold_check: Instant,
    next_expiry_check: Instant,
}

/// How soon holders are looked at after the directory changed: many changes come at once.
const CONFIG_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How often holders are looked at that something may happen to without a word: maintenance ends by itself.
const HOLD_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl<S: Sink, C: Courier> Partition<S, C> {
    /// A partition whose endpoints' states were restored, with a reader of its held deliveries at `start`; they end
    /// at `end`.
    pub(super) fn new(
        shared: Arc<Shared<S, C>>,
        stream: PartitionStream,
        journal: Journal<S>,
        states: HashMap<EndpointId, EndpointState>,
        (cursor, start, end): (PartitionCursor, i64, i64),
    ) -> Self {
        let now = Instant::now();
        cursor.pause();
        let sweep = Sweep::new(start);
        let mut partition = Self {
            seen: shared.directory.version(),
            shared,
            stream,
            entries: HashMap::new(),
            journal,
            held: HeldReader {
                cursor,
                sweep,
                in_hand: None,
                end,
                is_paused: true,
                rests: true,
                is_closed: false,
                at_end: false,
                expiring: HashSet::new(),
            },
            tasks: JoinSet::new(),
            behind: VecDeque::new(),
            heads: VecDeque::new(),
            wakes: BTreeSet::new(),
            gated: HashSet::new(),
            attempts: 0,
            to_hold_bytes: 0,
            read_ahead: ReadAhead::new(now),
            stopping: false,
            next_recheck: now,
            next_idle_check: now + IDLE_INTERVAL,
            next_hold_check: now,
            next_expiry_check: now,
        };
        for (id, state) in states {
            partition.restore(id, &state);
        }
        partition.commit_held_position();
        partition
    }

    fn restore(&mut self, id: EndpointId, state: &EndpointState) {
        let now = Instant::now();
        let mut entry = Entry::new(state.tenant.clone(), &self.shared.limits, now);
        entry.failing = state.failing;
        entry.disabled = state.disabled;
        if let Some(endpoint) = self.shared.directory.endpoint(&id) {
            entry.adopt(&endpoint, &self.shared.limits, now);
        }
        if let Some(snapshot) = state.breaker {
            entry.pace.restore(snapshot, self.shared.uptime.of(now), self.shared.clock.now());
        }
        if let Some(holding) = &state.holding {
            entry.hold = Some(Hold::restored(holding, self.held.end));
            self.held.sweep.enter((id.clone(), None), holding.position, false);
            for key in &holding.blocked {
                self.held.sweep.enter((id.clone(), Some(key.key.clone())), key.from_offset, false);
            }
        }
        self.entries.insert(id, entry);
    }

    /// Works until the partition is revoked or the process stops, then drains. Error: a write failed for good.
    pub(super) async fn run(mut self) -> Result<(), StageError> {
        let (stopped, aborted) = (self.stream.stopped(), self.stream.aborted());
        let directory = self.shared.directory.clone();
        loop {
            self.drive_reader();
            let reading = self.may_read();
            let wake = self.next_wake(reading);
            tokio::select! {
                biased;
                () = stopped.cancelled() => break,
                acknowledged = self.journal.next() => self.state_is_durable(&acknowledged?),
                () = tokio::time::sleep_until(wake) => self.on_time()?,
                Some(done) = self.tasks.join_next() => {
                    self.finish(result_of(done)?);
                }
                () = directory.changed_since(self.seen), if !self.held.sweep.is_empty() => {
                    self.seen = self.shared.directory.version();
                    self.next_hold_check = self.next_hold_check.min(Instant::now() + CONFIG_CHECK_INTERVAL);
                }
                event = self.held.cursor.next(), if !self.held.is_paused && self.held.in_hand.is_none() => {
                    self.on_held(event);
                }
                inbound = stage::next(&self.shared.directory, &mut self.stream), if reading => match inbound {
                    Some(inbound) => self.take(inbound),
                    None => break,
                },
            }
        }
        self.stopping = true;
        tokio::select! {
            () = aborted.cancelled() => Ok(()),
            drained = self.drain() => drained,
        }
    }

    /// Lets what is in flight end. What was not begun is read again by the next owner.
    async fn drain(&mut self) -> Result<(), StageError> {
        self.held.cursor.pause();
        self.behind.clear();
        self.heads.clear();
        self.forget_queues();
        loop {
            tokio::select! {
                acknowledged = self.journal.next() => self.state_is_durable(&acknowledged?),
                done = self.tasks.join_next() => match done {
                    Some(done) => self.finish(result_of(done)?),
                    None => break,
                },
            }
        }
        self.journal.finish().await?;
        self.commit_held_position();
        Ok(())
    }

    /// Whether another delivery may be read: what was read and is not settled is bounded.
    fn may_read(&self) -> bool {
        self.heads.is_empty()
            && self.tasks.len() - self.attempts.min(self.tasks.len()) < MAX_TASKS
            && self.to_hold_bytes < MAX_TO_HOLD_BYTES
            && !self.read_ahead.is_enough()
            && self.shared.settler.may_send()
    }

    fn count_read_ahead(&mut self) {
        let (now, is_late) = (Instant::now(), self.shared.lateness.is_late());
        let ahead = self.entries.values().map(|entry| entry.read_ahead(is_late, now)).sum();
        self.read_ahead.counted(ahead, self.entries.len(), is_late, now);
    }

    /// Whether nothing may be begun any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    fn next_wake(&self, reading: bool) -> Instant {
        let waits_for_something = !reading || !self.behind.is_empty() || !self.gated.is_empty() || self.held.at_end;
        let mut wake = self.next_idle_check;
        if waits_for_something {
            wake = wake.min(self.next_recheck);
        }
        if !self.held.sweep.is_empty() {
            wake = wake.min(self.next_hold_check);
        }
        self.wakes.first().map_or(wake, |(at, _)| wake.min(*at))
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Answered(answered) => {
                self.attempts = self.attempts.saturating_sub(1);
                self.on_answered(*answered);
                if self.read_ahead.answered() {
                    self.count_read_ahead();
                }
            }
            Done::Judged(answered, verdict) => self.on_verdict(*answered, verdict),
            Done::Concluded(id, offset) => {
                if let Some(offset) = offset {
                    self.held_is_done(&id, offset);
                }
            }
            Done::Appended(id, offset) => self.on_appended(&id, offset),
            Done::RangeEnded(id, range) => self.on_range_ended(&id, &range),
            Done::Written => {}
        }
    }

    fn take(&mut self, inbound: Inbound) {
        if self.read_ahead.read() {
            self.count_read_ahead();
        }
        match decode(&inbound.record, &self.shared.codec) {
            Ok((delivery, routing)) => {
                let at = super::job::coordinates(&inbound.record);
                let value = inbound.record.value.unwrap_or_default();
                let origin = super::job::Origin::Deliveries(at, inbound.token);
                self.route(Job { value, delivery, routing, origin, memory: None });
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
                let settler = self.shared.settler.clone();
                self.tasks.spawn(async move {
                    settler.reject(&inbound.record, &message).await?;
                    inbound.token.settle();
                    Ok(Done::Written)
                });
            }
        }
    }

    fn on_time(&mut self) -> Result<(), StageError> {
        let now = Instant::now();
        while let Some((at, _)) = self.wakes.first()
            && *at <= now
        {
            let (_, id) = self.wakes.pop_first().expect("it was just seen");
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.wakes_at = None;
            }
            self.start(&id);
            self.refresh_room(&id);
        }
        if now >= self.next_recheck {
            self.next_recheck = now + RECHECK_INTERVAL;
            self.recheck();
        }
        if now >= self.next_hold_check {
            let soon = self.check_holders();
            self.next_hold_check = now + if soon { HOLD_CHECK_INTERVAL } else { IDLE_INTERVAL };
        }
        if now >= self.next_expiry_check {
            self.next_expiry_check = now + EXPIRY_INTERVAL;
            self.look_for_expired();
        }
        if now >= self.next_idle_check {
            self.next_idle_check = now + IDLE_INTERVAL;
            let monotonic = self.shared.uptime.of(now);
            let broker_now = self.shared.clock.now();
            self.entries
                .retain(|_, entry| now < entry.last_used + IDLE_INTERVAL || !entry.is_idle(monotonic, broker_now));
            if self.journal.is_replaced() {
                // By now this process would know that the partition is no longer its own. Starting again takes it back.
                return Err(StageError::Replaced(self.stream.partition()));
            }
        }
        Ok(())
    }

    /// Looks again at everything that waits for something that tells nobody.
    fn recheck(&mut self) {
        self.count_read_ahead();
        self.retry_heads();
        self.retry_behind();
        if self.held.at_end {
            self.on_end();
        }
        for id in std::mem::take(&mut self.gated) {
            self.start(&id);
            self.refresh_room(&id);
        }
    }

    /// Tries what could not be taken further once more.
    pub(super) fn retry_heads(&mut self) {
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

    /// Looks at an endpoint's lane again at `at`.
    pub(super) fn wake_at(&mut self, id: &EndpointId, at: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.wakes_at.is_some_and(|known| known <= at) {
            return;
        }
        if let Some(known) = entry.wakes_at.replace(at) {
            self.wakes.remove(&(known, id.clone()));
        }
        self.wakes.insert((at, id.clone()));
    }

    fn state_is_durable(&mut self, acknowledged: &Acknowledged) {
        self.commit_held_position();
        let id = &acknowledged.endpoint;
        let Some(hold) = self.entries.get_mut(id).and_then(|entry| entry.hold.as_mut()) else { return };
        if !hold.is_announced && self.journal.is_acknowledged(id, hold.announced_by) {
            hold.is_announced = true;
            self.append_waiting(id);
            self.end_holding_if_over(id);
        }
    }

    /// Stores from where the held topic has to be read, beside what is settled.
    fn commit_held_position(&self) {
        self.stream.set_companion(self.journal.lowest_acknowledged_holding().unwrap_or(self.held.end));
    }
}
