//! Reading the held topic's partition: one reader for all endpoints that have something there.

use std::{collections::HashSet, time::Duration};

use postrider_domain::{
    EndpointId, ErrorClass,
    delivery_event::{HoldReason, RangeReason},
};
use postrider_kafka::{CursorEvent, PartitionCursor, Record, Sink};
use tokio::time::Instant;

use super::{
    entry::{Entry, Queue},
    hold::{MAX_BLOCKED_KEYS, Meeting, Move, Sweep},
    job::{Job, NotAJob, ORDERING_KEY_HEADER, Origin, coordinates, decode},
    partition::{Done, MAX_TASKS, Partition},
    placing::skips,
};
use crate::{directory::Lookup, egress::Courier};

/// How long anything is held at most: the topic keeps it for 30 days.
const HELD_AT_MOST: Duration = Duration::from_hours(28 * 24);
/// Held deliveries that may wait in the lane of an endpoint, besides twice its concurrency.
const MIN_HELD_QUEUED: usize = 8;
/// Held deliveries that may wait in the queues of an ordered endpoint.
const MAX_ORDERED_QUEUED: usize = 64;
/// Held deliveries that may wait in the queue of one key.
const MAX_KEY_QUEUED: usize = 16;

/// A holder of the sweep: an endpoint, or one of its blocked keys.
pub(super) type Holder = (EndpointId, Option<String>);

/// The held topic's partition.
#[expect(clippy::struct_excessive_bools, reason = "each is true or not whatever the others are")]
pub(super) struct HeldReader {
    pub cursor: PartitionCursor,
    pub sweep: Sweep<Holder>,
    /// A record that nobody has room for yet.
    pub in_hand: Option<Record>,
    /// The offset after the last record that is known.
    pub end: i64,
    /// Whether the next record is not wanted.
    pub is_paused: bool,
    /// Whether nothing is fetched.
    pub rests: bool,
    /// Whether the cursor has ended: the partition was opened a second time.
    pub is_closed: bool,
    /// Whether the end was reached, and nobody has looked yet who is done with that.
    pub at_end: bool,
    /// Those whose oldest records are being looked at because they may have been held for too long.
    pub expiring: HashSet<Holder>,
}

impl<S: Sink, C: Courier> Partition<S, C> {
    /// Does what needs no waiting, and says by `is_paused` whether the next record is wanted.
    pub(super) fn drive_reader(&mut self) {
        if self.held.is_closed {
            self.held.is_paused = true;
            return;
        }
        loop {
            match self.held.sweep.next_move() {
                Move::Wait => {
                    self.held.is_paused = true;
                    if self.held.sweep.is_empty() {
                        self.rest_reader();
                    }
                    return;
                }
                Move::TurnBack(offset) => {
                    self.held.in_hand = None;
                    self.held.cursor.seek(offset);
                    self.held.sweep.turned_back(offset);
                    metrics::counter!("postrider_held_turns_total").increment(1);
                }
                Move::Read => {
                    if let Some(record) = self.held.in_hand.take() {
                        self.meet(record);
                    } else {
                        self.held.is_paused = false;
                        if std::mem::take(&mut self.held.rests) {
                            self.held.cursor.resume();
                        }
                        return;
                    }
                }
            }
        }
    }

    /// Stops fetching, if that is not so yet.
    pub(super) fn rest_reader(&mut self) {
        if !std::mem::replace(&mut self.held.rests, true) {
            self.held.cursor.pause();
        }
    }

    pub(super) fn on_held(&mut self, event: Option<CursorEvent>) {
        match event {
            Some(CursorEvent::Record(record)) => {
                metrics::counter!("postrider_held_read_total").increment(1);
                self.meet(record);
            }
            Some(CursorEvent::EndOfPartition { next_offset }) => {
                self.held.end = self.held.end.max(next_offset);
                self.held.sweep.reached_end(next_offset);
                self.held.at_end = true;
            }
            Some(CursorEvent::OutOfRange { resumed_at }) => {
                metrics::counter!("postrider_offsets_out_of_range_total", "group" => "held").increment(1);
                tracing::error!(resumed_at, "held deliveries were lost: the topic begins later than they stood");
                self.held.sweep.catch_up(resumed_at);
            }
            // The partition was opened a second time: this one has been replaced.
            None => self.held.is_closed = true,
        }
    }

    /// What becomes of a record that was read, or was in hand.
    fn meet(&mut self, record: Record) {
        let (offset, bytes) = (record.offset, record.size());
        let Some(holder) = self.holder_of(&record) else { return self.held.sweep.passed_by(offset, bytes) };
        match self.held.sweep.meet(&holder, offset) {
            Meeting::Pass => self.held.sweep.passed_by(offset, bytes),
            Meeting::NoRoom => self.keep_or_let_go(record, &holder),
            Meeting::Take => self.take_held(record, holder),
        }
    }

    /// Who misses the record: its endpoint, or the blocked key of it; none if it holds nothing.
    fn holder_of(&self, record: &Record) -> Option<Holder> {
        let id = EndpointId::from_trusted(record.key_str()?);
        let hold = self.entries.get(&id)?.hold.as_ref()?;
        let key = record.headers.get_str(ORDERING_KEY_HEADER).filter(|key| hold.blocked.contains_key(*key));
        let key = key.map(str::to_owned);
        Some((id, key))
    }

    fn keep_or_let_go(&mut self, record: Record, holder: &Holder) {
        if self.held.sweep.next_move() == Move::Wait {
            self.held.in_hand = Some(record);
        } else {
            let (offset, bytes) = (record.offset, record.size());
            self.held.sweep.let_go(holder, offset, bytes);
        }
    }

    fn no_room(&mut self, record: Record, holder: &Holder) {
        self.held.sweep.set_room(holder, false);
        self.keep_or_let_go(record, holder);
    }

    fn take_held(&mut self, record: Record, holder: Holder) {
        let (offset, bytes) = (record.offset, record.size());
        let (id, key) = (&holder.0, holder.1.as_deref());
        if key.is_none() && self.hold_of(id).was_met(offset) {
            return self.held.sweep.passed(offset, bytes);
        }
        let (delivery, routing) = match decode(&record, &self.shared.codec) {
            Ok(decoded) => decoded,
            Err(NotAJob::UnknownSchema(fingerprint)) => {
                tracing::warn!(%fingerprint, "a held delivery waits for its schema to be published");
                return self.no_room(record, &holder);
            }
            Err(NotAJob::Corrupt(message)) => return self.reject_held(record, holder, message),
        };
        let enabled_version = match self.shared.directory.lookup(id, Some(self.shared.directory.version())) {
            Lookup::Known(endpoint) if !skips(&delivery.run, &routing, &endpoint) => endpoint.enabled_version,
            Lookup::Known(_) => return self.pass_over(&record, &holder, RangeReason::Skipped),
            Lookup::Deleted => return self.pass_over(&record, &holder, RangeReason::EndpointDeleted),
            Lookup::Behind => return self.no_room(record, &holder),
        };
        let is_old = record.timestamp + HELD_AT_MOST <= self.shared.clock.now();
        if !is_old && self.held.expiring.remove(&holder) {
            self.refresh_room(&holder.0);
            return self.meet(record);
        }
        let at = coordinates(&record);
        let value = record.value.clone().unwrap_or_default();
        let mut job = Job { value, delivery, routing, origin: Origin::Held(at), memory: None };
        if is_old {
            if self.tasks.len() >= MAX_TASKS || !self.shared.settler.may_send() {
                return self.no_room(record, &holder);
            }
            self.end_head(&holder);
            self.taken(&holder, offset, bytes);
            return self.expire(job);
        }
        let Some(entry) = self.entries.get(id) else { return };
        let own_key = job.key();
        let is_full = match &entry.queue {
            Queue::Unordered(_) => false,
            Queue::Ordered(keys) => keys.is_fresh(&own_key) || keys.len_of(&own_key) >= MAX_KEY_QUEUED,
        };
        if is_full || !self.reserve_memory(&mut job) {
            return self.no_room(record, &holder);
        }
        if !self.resume_head(&holder, &mut job, enabled_version) {
            return self.no_room(record, &holder);
        }
        self.taken(&holder, offset, bytes);
        if let Some(entry) = self.entries.get_mut(&holder.0) {
            match &mut entry.queue {
                Queue::Unordered(lane) => lane.push_held(job),
                Queue::Ordered(keys) => keys.push(&own_key, job, false),
            }
        }
        self.start(&holder.0);
        self.refresh_room(&holder.0);
    }

    /// Whether nothing of a blocked key is in its queue or in flight: what is met next of it is its head.
    fn meets_head(&self, (id, key): &Holder) -> bool {
        let Some(key) = key else { return false };
        match self.entries.get(id).map(|entry| &entry.queue) {
            Some(Queue::Ordered(keys)) => !keys.has(key),
            _ => true,
        }
    }

    /// The head of a blocked key goes by what is remembered of its attempts. Answers false if it is exhausted, and
    /// nobody has acted on it.
    fn resume_head(&mut self, holder: &Holder, job: &mut Job, enabled_version: i64) -> bool {
        if !self.meets_head(holder) {
            return true;
        }
        let (now, changes) = (self.shared.clock.now(), self.shared.overrides.changes());
        let order = self.shared.overrides.of(&job.delivery.message_id, &job.delivery.run);
        let is_ended = order.is_some_and(|order| order.ends(&job.routing, now).is_some());
        let (id, key) = holder;
        let hold = self.hold_of(id);
        let Some(blocked) = key.as_ref().and_then(|key| hold.blocked.get_mut(key)) else { return true };
        if blocked.next_at.is_none() && enabled_version <= blocked.enabled_version && !is_ended {
            blocked.overrides_seen = changes;
            return false;
        }
        job.routing.attempt = job.routing.attempt.max(blocked.attempt);
        job.routing.first_attempt_at = job.routing.first_attempt_at.or(blocked.first_attempt_at);
        true
    }

    /// A record of a blocked key ends without an attempt: if it is the head, the next goes by its own record.
    fn end_head(&mut self, holder: &Holder) {
        if self.meets_head(holder)
            && let Some(key) = &holder.1
            && let Some(blocked) = self.hold_of(&holder.0).blocked.get_mut(key)
        {
            blocked.head_ended();
        }
    }

    /// The record at `offset` was taken for `holder`.
    fn taken(&mut self, (id, key): &Holder, offset: i64, bytes: usize) {
        let hold = self.hold_of(id);
        match key.as_ref().and_then(|key| hold.blocked.get_mut(key)) {
            Some(blocked) => blocked.outstanding.insert(offset),
            None => hold.outstanding.insert(offset),
        }
        let ended = hold.take_skipping();
        self.held.sweep.passed(offset, bytes);
        if let Some(skipping) = ended {
            self.end_skipped(id, skipping);
        }
    }

    fn pass_over(&mut self, record: &Record, holder: &Holder, reason: RangeReason) {
        let (id, offset) = (&holder.0, record.offset);
        self.end_head(holder);
        let ended = self.hold_of(id).skip(offset, reason);
        self.held.sweep.passed(offset, record.size());
        if let Some(skipping) = ended {
            self.end_skipped(id, skipping);
        }
    }

    fn reject_held(&mut self, record: Record, holder: Holder, message: String) {
        self.end_head(&holder);
        self.taken(&holder, record.offset, record.size());
        let settler = self.shared.settler.clone();
        self.tasks.spawn(async move {
            settler.reject(&record, &message).await?;
            Ok(Done::Concluded(holder.0, Some(record.offset)))
        });
    }

    /// Gives up a delivery that was held for too long.
    fn expire(&mut self, job: Job) {
        let (settler, id) = (self.shared.settler.clone(), job.delivery.endpoint.clone());
        self.tasks.spawn(async move {
            let offset = settler.give_up(job, ErrorClass::HeldExpired, "it was held for 28 days").await?;
            Ok(Done::Concluded(id, offset))
        });
    }

    /// Tells the sweep whether an endpoint, and each of its blocked keys, can take more.
    pub(super) fn refresh_room(&mut self, id: &EndpointId) {
        let (now, broker_now) = (self.shared.uptime.of(Instant::now()), self.shared.clock.now());
        let overrides = self.shared.overrides.changes();
        let Some(entry) = self.entries.get(id) else { return };
        let Some(hold) = &entry.hold else { return };
        let version = self.shared.directory.version();
        let (active, deleted, enabled_version) = match self.shared.directory.lookup(id, Some(version)) {
            Lookup::Known(endpoint) => (
                entry.inactive(&endpoint, &self.shared.directory, broker_now).is_none(),
                false,
                endpoint.enabled_version,
            ),
            Lookup::Deleted => (true, true, i64::MAX),
            Lookup::Behind => (false, false, i64::MIN),
        };
        let open = active && (deleted || entry.pace.closed_for(now).is_zero() && self.shared.settler.may_send());
        let own = match &entry.queue {
            Queue::Unordered(lane) => {
                // A broken endpoint takes one at a time: what is behind a probe that fails would only be forgotten.
                let most = if entry.pace.is_broken() {
                    usize::from(entry.pace.in_flight() == 0)
                } else {
                    MIN_HELD_QUEUED.max(2 * entry.pace.concurrency())
                };
                open && (deleted || lane.held_len() < most)
            }
            Queue::Ordered(_) if !hold.whole => true,
            Queue::Ordered(keys) => open && keys.len() < MAX_ORDERED_QUEUED && hold.blocked.len() <= MAX_BLOCKED_KEYS,
        };
        let expiring = &self.held.expiring;
        let sweep = &mut self.held.sweep;
        let holder = (id.clone(), None);
        sweep.set_room(&holder, own || expiring.contains(&holder));
        for (key, blocked) in &hold.blocked {
            let (queued, due) = match &entry.queue {
                Queue::Ordered(keys) if keys.is_fresh(key) => (MAX_KEY_QUEUED, false),
                Queue::Ordered(keys) => (keys.len_of(key), blocked.is_due(broker_now, enabled_version, overrides)),
                // It is not ordered any more: nothing has to wait for anything.
                Queue::Unordered(lane) => (lane.held_len(), true),
            };
            let due = deleted || due;
            let holder = (id.clone(), Some(key.clone()));
            let room = open && due && queued < MAX_KEY_QUEUED || expiring.contains(&holder);
            sweep.set_room(&holder, room);
        }
    }

    /// Looks at everybody who holds: configuration, time and overrides may have changed without a word. Whether that
    /// is worth doing again soon.
    pub(super) fn check_holders(&mut self) -> bool {
        let ids: Vec<EndpointId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.hold.is_some() || entry.disabled.is_some() || entry.is_remembered())
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ids {
            self.forget_old_disable(id);
            self.forget_deleted(id);
            if let Some(endpoint) = self.shared.directory.endpoint(id)
                && let Some(entry) = self.entries.get_mut(id)
            {
                entry.adopt(&endpoint, &self.shared.limits, Instant::now());
            }
            self.refresh_room(id);
            self.start(id);
            self.end_holding_if_over(id);
        }
        if self.held.is_paused {
            self.rest_reader();
        }
        ids.iter().any(|id| self.may_change_by_itself(id))
    }

    /// Whether an endpoint that holds may go on although its configuration stays as it is.
    fn may_change_by_itself(&self, id: &EndpointId) -> bool {
        let Some(entry) = self.entries.get(id) else { return false };
        let Lookup::Known(endpoint) = self.shared.directory.lookup(id, Some(self.shared.directory.version())) else {
            return true;
        };
        let blocked = entry.hold.as_ref().is_some_and(|hold| !hold.blocked.is_empty());
        let inactive = entry.inactive(&endpoint, &self.shared.directory, self.shared.clock.now());
        blocked || matches!(inactive, None | Some(HoldReason::Maintenance | HoldReason::Quota))
    }

    /// Everything was read: ends what was passed over, and the holdings of which nothing is left.
    pub(super) fn on_end(&mut self) {
        self.held.at_end = false;
        let ids: Vec<EndpointId> =
            self.entries.iter().filter(|(_, entry)| entry.hold.is_some()).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            let skipping = self.hold_of(id).take_skipping();
            if let Some(skipping) = skipping {
                self.end_skipped(id, skipping);
            }
            self.end_holding_if_over(id);
        }
    }

    /// A disable is forgotten once the endpoint was enabled anew.
    fn forget_old_disable(&mut self, id: &EndpointId) {
        let Lookup::Known(endpoint) = self.shared.directory.lookup(id, Some(self.shared.directory.version())) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.disabled.is_some_and(|disabled| disabled.enabled_version < endpoint.enabled_version) {
            entry.disabled = None;
            self.remember(id, super::state::Urgency::Transition);
        }
    }

    /// Of an endpoint that was deleted nothing is remembered once nothing of it is held.
    fn forget_deleted(&mut self, id: &EndpointId) {
        let version = self.shared.directory.version();
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.hold.is_none() && entry.is_remembered()) else {
            return;
        };
        if entry.queued() == 0 && self.shared.directory.lookup(id, Some(version)) == Lookup::Deleted {
            *entry = Entry::new(entry.tenant.clone(), &self.shared.limits, Instant::now());
            self.remember(id, super::state::Urgency::Transition);
        }
    }

    /// Lets everybody meet their oldest records, room or not: what was held for too long is given up.
    pub(super) fn look_for_expired(&mut self) {
        self.held.expiring = self.held.sweep.holders().collect();
        let ids: Vec<EndpointId> = self.held.expiring.iter().map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.refresh_room(id);
        }
    }
}
