//! What is new in a lane: one queue for each priority, which take turns by their weights. Pure.

use std::{collections::VecDeque, time::Duration};

use postrider_domain::Priority;
use tokio::time::Instant;

/// New deliveries that wait, each with when it came.
#[derive(Debug)]
pub(super) struct Fresh<T> {
    /// The most urgent first, as in [`Priority::ALL`].
    queues: [Queue<T>; 3],
}

/// The deliveries of one priority.
#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<(Instant, T)>,
    /// What it is owed of turns: it grows by its weight with each turn, and whoever gets the turn pays for all.
    credit: i64,
    /// Since when there was no more than half of its room; none while there is.
    full_since: Option<Instant>,
}

impl<T> Fresh<T> {
    pub(super) fn new() -> Self {
        Self { queues: std::array::from_fn(|_| Queue { waiting: VecDeque::new(), credit: 0, full_since: None }) }
    }

    fn queue(&self, priority: Priority) -> &Queue<T> {
        &self.queues[place(priority)]
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.waiting.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting.is_empty())
    }

    /// How many of this priority wait.
    pub(super) fn len_of(&self, priority: Priority) -> usize {
        self.queue(priority).waiting.len()
    }

    /// How many wait that are at least as urgent.
    pub(super) fn len_before(&self, priority: Priority) -> usize {
        self.queues[..=place(priority)].iter().map(|queue| queue.waiting.len()).sum()
    }

    /// How long what waits longest of this priority has waited.
    pub(super) fn waited(&self, priority: Priority, now: Instant) -> Duration {
        self.queue(priority).waiting.front().map_or(Duration::ZERO, |(came, _)| now.duration_since(*came))
    }

    /// For how long those of this priority have had less than half of their room; none if they have more.
    pub(super) fn full_for(&self, priority: Priority, now: Instant) -> Option<Duration> {
        self.queue(priority).full_since.map(|since| now.duration_since(since))
    }

    /// How many wait behind none that has waited for so long, each priority by itself.
    pub(super) fn younger_than(&self, age: Duration, now: Instant) -> usize {
        let waits_less = |(came, _): &(Instant, T)| now.duration_since(*came) < age;
        let young = |queue: &&Queue<T>| queue.waiting.front().is_some_and(waits_less);
        self.queues.iter().filter(young).map(|queue| queue.waiting.len()).sum()
    }

    pub(super) fn push(&mut self, item: T, priority: Priority, max_queued: usize, now: Instant) {
        let queue = &mut self.queues[place(priority)];
        queue.waiting.push_back((now, item));
        if queue.waiting.len() >= max_queued {
            queue.full_since.get_or_insert(now);
        }
    }

    /// The next: of those that wait, each priority gets turns by its weight.
    pub(super) fn pop(&mut self, max_queued: usize) -> Option<T> {
        let mut together = 0;
        let mut next: Option<usize> = None;
        for (index, priority) in Priority::ALL.into_iter().enumerate() {
            if self.queues[index].waiting.is_empty() {
                self.queues[index].credit = 0;
                continue;
            }
            let weight = i64::from(priority.weight().get());
            self.queues[index].credit += weight;
            together += weight;
            if next.is_none_or(|next| self.queues[index].credit > self.queues[next].credit) {
                next = Some(index);
            }
        }
        let queue = &mut self.queues[next?];
        queue.credit -= together;
        let (_, item) = queue.waiting.pop_front()?;
        if queue.waiting.len() <= max_queued / 2 {
            queue.full_since = None;
        }
        Some(item)
    }

    /// Takes everything out, in the order in which it came.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let mut all: Vec<(Instant, T)> = self.queues.iter_mut().flat_map(|queue| queue.waiting.drain(..)).collect();
        all.sort_by_key(|(came, _)| *came);
        all.into_iter().map(|(_, item)| item).collect()
    }
}

fn place(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(fresh: &mut Fresh<(Priority, usize)>, count: usize) -> Vec<(Priority, usize)> {
        (0..count).map_while(|_| fresh.pop(1_000)).collect()
    }

    #[test]
    fn priorities_take_turns_by_their_weights_and_none_starves() {
        let now = Instant::now();
        let mut fresh = Fresh::new();
        for number in 0..1_000 {
            for priority in Priority::ALL {
                fresh.push((priority, number), priority, 1_000, now);
            }
        }
        let first = sent(&mut fresh, 210);
        let count = |wanted: Priority| first.iter().filter(|(priority, _)| *priority == wanted).count();
        assert_eq!([count(Priority::High), count(Priority::Normal), count(Priority::Low)], [160, 40, 10]);
        assert_eq!(first[0].0, Priority::High);
        let longest = |wanted: Priority| {
            first.split(|(priority, _)| *priority == wanted).map(<[_]>::len).max().unwrap_or_default()
        };
        assert!(longest(Priority::Low) <= 21 && longest(Priority::Normal) <= 6, "they are spread");
    }

    #[test]
    fn who_was_alone_owes_nothing_to_who_comes_later() {
        let now = Instant::now();
        let mut fresh = Fresh::new();
        (0..100).for_each(|number| fresh.push((Priority::Low, number), Priority::Low, 1_000, now));
        sent(&mut fresh, 50);
        (0..100).for_each(|number| fresh.push((Priority::Normal, number), Priority::Normal, 1_000, now));
        let low = sent(&mut fresh, 25).iter().filter(|(priority, _)| *priority == Priority::Low).count();
        assert_eq!(low, 5);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_each_priority_is_first_in_first_out(
            steps in prop::collection::vec(prop::option::of(0..3_usize), 1..300),
        ) {
            let now = Instant::now();
            let (mut fresh, mut came, mut went) = (Fresh::new(), Vec::new(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Some(index) => {
                        let priority = Priority::ALL[index];
                        fresh.push((priority, number), priority, 10, now);
                        came.push((priority, number));
                    }
                    None => went.extend(fresh.pop(10)),
                }
                prop_assert_eq!(fresh.len(), came.len() - went.len());
                prop_assert_eq!(fresh.len(), fresh.len_before(Priority::Low));
            }
            went.extend(std::iter::from_fn(|| fresh.pop(10)));
            for priority in Priority::ALL {
                let of = |all: &[(Priority, usize)]| -> Vec<usize> {
                    all.iter().filter(|(it, _)| *it == priority).map(|(_, number)| *number).collect()
                };
                prop_assert_eq!(of(&went), of(&came));
            }
        }
    }
}
