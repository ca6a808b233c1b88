//! Producers' own duplicates: which events of a source's partition are the same event again.
//!
//! An id is remembered only once its event is settled, with the offset that it was read at: an event that failed is no
//! reason to drop the next one, and a record that is read again after a restart is not its own duplicate.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use crate::Timestamp;

/// How much is remembered of a partition's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupeLimits {
    /// How long an id is remembered after its event was settled.
    pub window: Duration,
    /// How many ids are remembered; beyond, the oldest are forgotten.
    pub max_ids: usize,
}

/// What to do with an event that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is new: take it. [`DedupeWindow::settled`] or [`DedupeWindow::released`] tells what came of it.
    Take,
    /// The same event is in flight: wait for what comes of that, then ask again.
    Wait,
    /// The same event was settled from another record: settle this one without doing anything.
    Duplicate,
}

/// The events of one partition that are in flight or were settled of late, by what makes them the same (`Id`).
#[derive(Debug)]
pub struct DedupeWindow<Id> {
    limits: DedupeLimits,
    /// By id: the offset of the record that is in flight.
    in_flight: HashMap<Id, i64>,
    /// By id: the offset of the record that was settled.
    settled: HashMap<Id, i64>,
    /// The ids in `settled`, each once, in the order in which they were settled.
    order: VecDeque<(Timestamp, Id)>,
}

impl<Id: Clone + Eq + Hash> DedupeWindow<Id> {
    /// A window that remembers nothing yet.
    pub fn new(limits: DedupeLimits) -> Self {
        Self { limits, in_flight: HashMap::new(), settled: HashMap::new(), order: VecDeque::new() }
    }

    /// Decides about the event `id`, read at `offset`.
    pub fn admit(&mut self, id: &Id, offset: i64, now: Timestamp) -> Admission {
        self.forget_old(now);
        if self.in_flight.contains_key(id) {
            return Admission::Wait;
        }
        if self.settled.get(id).is_some_and(|known| *known != offset) {
            return Admission::Duplicate;
        }
        self.in_flight.insert(id.clone(), offset);
        Admission::Take
    }

    /// An event that was taken is settled: from now on others with its id are duplicates.
    pub fn settled(&mut self, id: &Id, now: Timestamp) {
        let Some(offset) = self.in_flight.remove(id) else { return };
        if self.settled.insert(id.clone(), offset).is_none() {
            self.order.push_back((now, id.clone()));
        }
        while self.order.len() > self.limits.max_ids {
            self.forget_oldest();
        }
    }

    /// An event that was taken was not settled: the next with its id is taken.
    pub fn released(&mut self, id: &Id) {
        self.in_flight.remove(id);
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(at, _)| *at + self.limits.window < now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.settled.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LIMITS: DedupeLimits = DedupeLimits { window: Duration::from_mins(1), max_ids: 3 };

    /// A window in which the first events were settled, from offsets equal to their numbers.
    fn settled(count: i64) -> DedupeWindow<usize> {
        let mut window = DedupeWindow::new(LIMITS);
        for (number, offset) in (0..).zip(0..count) {
            assert_eq!(window.admit(&number, offset, NOW), Admission::Take);
            window.settled(&number, NOW);
        }
        window
    }

    #[test]
    fn an_event_that_was_settled_is_a_duplicate_when_another_record_brings_it() {
        let mut window = settled(1);
        assert_eq!(window.admit(&0, 7, NOW), Admission::Duplicate);
        assert_eq!(window.admit(&1, 8, NOW), Admission::Take);
    }

    #[test]
    fn the_same_record_read_again_is_not_its_own_duplicate() {
        let mut window = settled(1);
        assert_eq!(window.admit(&0, 0, NOW), Admission::Take);
        window.settled(&0, NOW);
        assert_eq!((window.len(), window.admit(&0, 7, NOW)), (1, Admission::Duplicate));
    }

    #[test]
    fn what_is_in_flight_is_waited_for_and_a_failure_makes_the_next_one_count() {
        let mut window = DedupeWindow::<usize>::new(LIMITS);
        assert_eq!(window.admit(&0, 0, NOW), Admission::Take);
        assert_eq!(window.admit(&0, 1, NOW), Admission::Wait);
        window.released(&0);
        assert_eq!(window.admit(&0, 1, NOW), Admission::Take);
        window.settled(&0, NOW);
        assert_eq!(window.admit(&0, 2, NOW), Admission::Duplicate);
    }

    #[test]
    fn ids_are_forgotten_by_age_and_by_number() {
        let mut window = settled(4);
        assert_eq!(window.admit(&0, 9, NOW), Admission::Take, "the fourth pushed it out");
        assert_eq!(window.admit(&1, 9, NOW + LIMITS.window), Admission::Duplicate);
        assert_eq!(window.admit(&1, 9, NOW + LIMITS.window + Duration::from_millis(1)), Admission::Take);
        assert!(window.is_empty());
    }

    proptest! {
        /// Against a naive model: a list of all that was settled.
        #[test]
        fn it_remembers_what_the_model_remembers(steps in prop::collection::vec((0..6_usize, 0..40_u64, any::<bool>()), 1..80)) {
            let mut window = DedupeWindow::new(LIMITS);
            let mut model: Vec<(Timestamp, usize)> = Vec::new();
            let mut now = NOW;
            for (offset, (number, pause, succeeds)) in (0..).zip(steps) {
                now = now + Duration::from_secs(pause);
                model.retain(|(at, _)| *at + LIMITS.window >= now);
                let known = model.iter().any(|(_, known)| *known == number);
                let admission = window.admit(&number, offset, now);
                prop_assert_eq!(admission, if known { Admission::Duplicate } else { Admission::Take });
                if known {
                    continue;
                }
                if succeeds {
                    window.settled(&number, now);
                    model.push((now, number));
                    let surplus = model.len().saturating_sub(LIMITS.max_ids);
                    model.drain(..surplus);
                } else {
                    window.released(&number);
                }
                prop_assert_eq!(window.len(), model.len());
            }
        }
    }
}
