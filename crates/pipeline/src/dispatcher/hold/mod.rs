//! What of an endpoint's deliveries is in `postrider.held`: what its owner knows beyond what it wrote down. Pure.

mod sweep;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::Range,
};

use postrider_domain::{
    Attempt, Runs, Timestamp,
    delivery_event::{HoldReason, RangeReason},
    endpoint_state::{BlockedKey, Holding},
};

use super::job::Job;
pub(super) use sweep::{Meeting, Move, Sweep};

/// The most that an endpoint's completions above its position may take in its state, in bytes.
const MAX_DONE_BYTES: usize = 8 * 1024;
/// Past so many blocked keys all of an endpoint's deliveries are held, and no more are taken but those of its keys.
pub(super) const MAX_BLOCKED_KEYS: usize = 100;
/// With no more than so many an endpoint's deliveries go to its lane again.
pub(super) const FEW_BLOCKED_KEYS: usize = 50;

/// Offsets that were taken from the held topic, by an endpoint or one of its blocked keys, and are not done.
#[derive(Debug, Clone, Default)]
pub(super) struct Outstanding {
    offsets: BTreeSet<i64>,
    /// Ranges that are being ended at once.
    ranges: Vec<Range<i64>>,
}

impl Outstanding {
    /// It was taken.
    pub(super) fn insert(&mut self, offset: i64) {
        self.offsets.insert(offset);
    }

    /// Whether it was taken, and is not done.
    fn contains(&self, offset: i64) -> bool {
        self.offsets.contains(&offset) || self.ranges.iter().any(|range| range.contains(&offset))
    }

    /// It is done. Whether it was outstanding.
    pub(super) fn remove(&mut self, offset: i64) -> bool {
        self.offsets.remove(&offset)
    }

    /// A range is being ended.
    pub(super) fn insert_range(&mut self, range: Range<i64>) {
        self.ranges.push(range);
    }

    /// A range has been ended.
    pub(super) fn remove_range(&mut self, range: &Range<i64>) {
        self.ranges.retain(|known| known != range);
    }

    /// Whether nothing is.
    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.ranges.is_empty()
    }

    /// The offset below which everything is done, if everything below `next` was met.
    pub(super) fn position(&self, next: i64) -> i64 {
        let ranges = self.ranges.iter().map(|range| range.start);
        self.offsets.first().copied().into_iter().chain(ranges).fold(next, i64::min)
    }

    /// What is done from the position on, if everything below `next` was met.
    fn done(&self, next: i64) -> Runs {
        let mut open: Vec<Range<i64>> = self.offsets.iter().map(|offset| *offset..offset + 1).collect();
        open.extend(self.ranges.iter().cloned());
        open.sort_unstable_by_key(|range| range.start);
        let (mut done, mut from) = (Runs::new(), self.position(next));
        // Above `next` something can be outstanding, of which what lies between was not met.
        for range in open.into_iter().take_while(|range| range.start < next) {
            done.insert(from..range.start);
            from = from.max(range.end);
        }
        done.insert(from..next);
        done
    }
}

/// A key of an ordered endpoint that waits in the held topic.
#[derive(Debug, Clone)]
pub(super) struct Blocked {
    pub outstanding: Outstanding,
    /// The attempt that its head is due for.
    pub attempt: Attempt,
    pub first_attempt_at: Option<Timestamp>,
    /// When its head is due; none: it has used up its attempts.
    pub next_at: Option<Timestamp>,
    pub enabled_version: i64,
    /// The state of the overrides that its head was last looked at under, while it has used up its attempts.
    pub overrides_seen: u64,
}

impl Blocked {
    fn restored(key: &BlockedKey) -> Self {
        Self {
            outstanding: Outstanding::default(),
            attempt: key.attempt,
            first_attempt_at: key.first_attempt_at,
            next_at: key.next_at,
            enabled_version: key.enabled_version,
            overrides_seen: 0,
        }
    }

    /// Its head is done with: the next goes by what its own record says.
    pub(super) fn head_ended(&mut self) {
        self.attempt = Attempt::FIRST;
        self.first_attempt_at = None;
        self.next_at = Some(Timestamp::EPOCH);
    }

    /// Whether its head may be tried now.
    pub(super) fn is_due(&self, now: Timestamp, enabled_version: i64, overrides: u64) -> bool {
        match self.next_at {
            Some(at) => now >= at,
            None => enabled_version > self.enabled_version || overrides != self.overrides_seen,
        }
    }
}

/// Held deliveries that are passed over for one reason, and are ended together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skipping {
    pub range: Range<i64>,
    pub count: i64,
    pub reason: RangeReason,
}

/// One endpoint's holding.
#[derive(Debug)]
pub(super) struct Hold {
    /// Done above the position when it was last taken up: not taken again.
    done_before: Runs,
    pub outstanding: Outstanding,
    /// Deliveries that are to be appended once the state says so; those of an ordered endpoint one after another.
    pub waiting: VecDeque<(Job, HoldReason)>,
    /// The state that has to be acknowledged before anything is appended.
    pub announced_by: u64,
    pub is_announced: bool,
    /// Appends that are under way.
    pub appending: usize,
    /// The offset after the last append that is known.
    pub appended_up_to: i64,
    /// Whether all of an ordered endpoint's deliveries are held.
    pub whole: bool,
    pub blocked: HashMap<String, Blocked>,
    pub skipping: Option<Skipping>,
}

impl Hold {
    /// A holding that begins, and is not announced yet.
    pub(super) fn begin(whole: bool) -> Self {
        Self {
            done_before: Runs::new(),
            outstanding: Outstanding::default(),
            waiting: VecDeque::new(),
            announced_by: 0,
            is_announced: false,
            appending: 0,
            appended_up_to: 0,
            whole,
            blocked: HashMap::new(),
            skipping: None,
        }
    }

    /// A holding as its last owner left it; the held topic ends at `end`.
    pub(super) fn restored(holding: &Holding, end: i64) -> Self {
        let done = Runs::decode(holding.position, &holding.done).unwrap_or_else(|error| {
            tracing::error!(%error, "what was done of a holding can't be read, and is repeated");
            Runs::new()
        });
        let blocked = holding.blocked.iter().map(|key| (key.key.clone(), Blocked::restored(key))).collect();
        Self { done_before: done, is_announced: true, appended_up_to: end, blocked, ..Self::begin(holding.whole) }
    }

    /// As it is written down. `next`: the first offset that the endpoint, or a blocked key of it, has not met.
    pub(super) fn holding(&self, next: impl Fn(Option<&str>) -> i64) -> Holding {
        let own = next(None);
        let position = self.outstanding.position(own);
        let blocked = self.blocked.iter().map(|(key, blocked)| BlockedKey {
            key: key.clone(),
            from_offset: blocked.outstanding.position(next(Some(key))),
            attempt: blocked.attempt,
            first_attempt_at: blocked.first_attempt_at,
            next_at: blocked.next_at,
            enabled_version: blocked.enabled_version,
        });
        Holding {
            position,
            done: self.done(own).encode(position, MAX_DONE_BYTES),
            whole: self.whole,
            blocked: blocked.collect(),
        }
    }

    /// What is done above the position.
    fn done(&self, next: i64) -> Runs {
        let mut done = self.outstanding.done(next);
        self.done_before.iter().for_each(|run| done.insert(run.start.max(next)..run.end));
        done
    }

    /// Whether the record at `offset` is done, or was taken and is not.
    pub(super) fn was_met(&self, offset: i64) -> bool {
        self.done_before.contains(offset) || self.outstanding.contains(offset)
    }

    /// What was taken at `offset` is done, when everything below `next` was met. Whether the endpoint itself took it.
    pub(super) fn finish(&mut self, offset: i64, next: i64) -> bool {
        if !self.outstanding.remove(offset) {
            return false;
        }
        if offset >= next {
            self.done_before.insert(offset..offset + 1);
        }
        self.done_before.advance(self.outstanding.position(next));
        true
    }

    /// Which of `offsets` the endpoint itself took, and which its blocked keys.
    pub(super) fn by_owner(&self, offsets: &[i64]) -> (Vec<i64>, Vec<(String, i64)>) {
        let (mut own, mut of_keys) = (Vec::new(), Vec::new());
        for offset in offsets {
            if self.outstanding.contains(*offset) {
                own.push(*offset);
            } else if let Some((key, _)) =
                self.blocked.iter().find(|(_, blocked)| blocked.outstanding.contains(*offset))
            {
                of_keys.push((key.clone(), *offset));
            }
        }
        (own, of_keys)
    }

    /// The blocked key that took what stands at `offset`.
    pub(super) fn blocked_that_took(&mut self, offset: i64) -> Option<&mut Blocked> {
        self.blocked.values_mut().find(|blocked| blocked.outstanding.contains(offset))
    }

    /// Forgets what was taken and not attempted, the lowest at `offset`, when everything below `next` was met: it is
    /// met again, what is done above it is not.
    pub(super) fn forget(&mut self, offsets: &[i64], next: i64) {
        self.done_before = self.done(next);
        for offset in offsets {
            self.outstanding.remove(*offset);
        }
    }

    /// What was passed over and is to be ended now; it stays outstanding until that is done.
    pub(super) fn take_skipping(&mut self) -> Option<Skipping> {
        self.skipping.take()
    }

    /// Passes over the record at `offset`. Answers what is to be ended first, if it was passed over for another
    /// reason.
    pub(super) fn skip(&mut self, offset: i64, reason: RangeReason) -> Option<Skipping> {
        let other = |known: &Skipping| known.reason != reason || offset < known.range.end;
        let ended = if self.skipping.as_ref().is_some_and(other) { self.take_skipping() } else { None };
        let skipping = self.skipping.get_or_insert(Skipping { range: offset..offset, count: 0, reason });
        self.outstanding.remove_range(&skipping.range);
        skipping.range.end = offset + 1;
        skipping.count += 1;
        self.outstanding.insert_range(skipping.range.clone());
        ended
    }

    /// Whether nothing of it is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && self.appending == 0 && self.outstanding.is_empty() && self.skipping.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_holding_is_taken_up_as_it_was_written_down() {
        let mut hold = Hold::begin(true);
        for offset in [12, 15] {
            hold.outstanding.insert(offset);
        }
        let blocked = Blocked {
            outstanding: Outstanding::default(),
            attempt: Attempt::FIRST.next(),
            first_attempt_at: Some(Timestamp::from_millis(5)),
            next_at: None,
            enabled_version: 3,
            overrides_seen: 0,
        };
        hold.blocked.insert("a".to_owned(), blocked);
        let holding = hold.holding(|key| if key.is_some() { 14 } else { 20 });
        assert_eq!((holding.position, holding.blocked[0].from_offset, holding.whole), (12, 14, true));
        let restored = Hold::restored(&holding, 30);
        let done: Vec<i64> = (10..25).filter(|offset| restored.was_met(*offset)).collect();
        assert_eq!(done, [13, 14, 16, 17, 18, 19]);
        assert_eq!((restored.appended_up_to, restored.blocked["a"].attempt.get()), (30, 2));
        assert_eq!(restored.holding(|key| if key.is_some() { 14 } else { 12 }), holding);
    }

    #[test]
    fn skipped_records_end_together_and_hold_the_position_until_then() {
        let mut hold = Hold::begin(false);
        assert_eq!(hold.skip(5, RangeReason::Skipped), None);
        assert_eq!(hold.skip(9, RangeReason::Skipped), None);
        let ended = hold.skip(11, RangeReason::EndpointDeleted).unwrap();
        assert_eq!(ended, Skipping { range: 5..10, count: 2, reason: RangeReason::Skipped });
        assert_eq!(hold.holding(|_| 12).position, 5);
        hold.outstanding.remove_range(&ended.range);
        assert_eq!(hold.holding(|_| 12).position, 11);
        assert!(!hold.is_at_rest());
    }

    #[test]
    fn a_blocked_key_waits_for_its_time_or_for_somebody_to_act() {
        let key = |next_at: Option<i64>| Blocked {
            outstanding: Outstanding::default(),
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            next_at: next_at.map(Timestamp::from_millis),
            enabled_version: 3,
            overrides_seen: 7,
        };
        let now = Timestamp::from_millis(10);
        assert!(key(Some(10)).is_due(now, 3, 7) && !key(Some(11)).is_due(now, 4, 8));
        assert!(!key(None).is_due(now, 3, 7) && key(None).is_due(now, 4, 7) && key(None).is_due(now, 3, 8));
    }

    proptest! {
        /// Takes, completions, forgetting and restarts in any order: what is met again is just what is neither done
        /// nor in flight, and a restart repeats nothing that was done when it was written down.
        #[test]
        fn nothing_done_is_met_again(steps in prop::collection::vec((0..4u8, any::<prop::sample::Index>()), 1..150)) {
            let mut hold = Hold::begin(false);
            let (mut next, mut flying, mut done) = (0_i64, BTreeSet::new(), BTreeSet::new());
            for (step, pick) in steps {
                let picked = |flying: &BTreeSet<i64>| (!flying.is_empty())
                    .then(|| *pick.get(&flying.iter().copied().collect::<Vec<_>>()));
                match step {
                    0 => {
                        if !hold.was_met(next) {
                            prop_assert!(!done.contains(&next), "{next} was done, and is met again");
                            prop_assert!(flying.insert(next), "{next} is in flight, and is met again");
                            hold.outstanding.insert(next);
                        }
                        next += 1;
                    }
                    1 => if let Some(offset) = picked(&flying) {
                        hold.finish(offset, next);
                        flying.remove(&offset);
                        done.insert(offset);
                    },
                    2 => if let Some(offset) = picked(&flying) {
                        let forgotten: Vec<i64> = flying.range(offset..).step_by(2).copied().collect();
                        hold.forget(&forgotten, next);
                        flying.retain(|kept| !forgotten.contains(kept));
                        next = next.min(offset);
                    },
                    _ => {
                        let holding = hold.holding(|_| next);
                        hold = Hold::restored(&holding, next);
                        next = holding.position;
                        flying.clear();
                    }
                }
                let holding = hold.holding(|_| next);
                prop_assert!(flying.iter().chain(std::iter::once(&next)).all(|open| holding.position <= *open));
                let restored = Hold::restored(&holding, next);
                for offset in 0..holding.position + 200 {
                    let counts_as_done = offset < holding.position || restored.was_met(offset);
                    prop_assert_eq!(counts_as_done, done.contains(&offset), "{} after {:?}", offset, step);
                }
            }
        }
    }
}
