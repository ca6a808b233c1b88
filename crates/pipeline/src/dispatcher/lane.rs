//! The queue of an endpoint that is not ordered: what is new and what was held take turns. Pure.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How long after its last success in sending a lane that is full is still taken to move.
const MOVES_WITHIN: Duration = Duration::from_millis(250);

/// The bounds of every lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLimits {
    /// New deliveries that may wait in the lane.
    pub max_queued: usize,
    /// Requests in flight at once, at most.
    pub concurrency: u16,
    /// While what waits longest has waited for more than this, whatever comes is put aside.
    pub park_after: Duration,
    /// What has its turn later than this is held instead of parked.
    pub hold_after: Duration,
    /// While so many of one endpoint are parked, more of it are held.
    pub max_parked: usize,
    /// A failing head of an ordered endpoint waits in its lane for less than this, else in the held topic.
    pub ordered_wait: Duration,
}

/// Whether a lane takes a new delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It does.
    Yes,
    /// Not now, but soon: keep the delivery and ask again.
    Soon,
    /// What waits longest has waited for so long.
    No(Duration),
}

/// One endpoint's queue.
#[derive(Debug)]
pub struct Lane<T> {
    /// What is new, each with when it came.
    fresh: VecDeque<(Instant, T)>,
    /// What was held.
    held: VecDeque<T>,
    /// Whose turn it is when both wait.
    held_is_next: bool,
    moved_at: Instant,
}

impl<T> Lane<T> {
    /// An empty lane.
    pub fn new(now: Instant) -> Self {
        Self { fresh: VecDeque::new(), held: VecDeque::new(), held_is_next: false, moved_at: now }
    }

    /// Whether a new delivery can wait here. Measured, not estimated: a burst or a hiccup that the endpoint works
    /// off in time puts nothing aside, and an endpoint that hangs can't hide behind how fast it was.
    pub fn room(&self, limits: &LaneLimits, now: Instant) -> Room {
        let waited = self.fresh.front().map_or(Duration::ZERO, |(came, _)| now.duration_since(*came));
        let full = self.fresh.len() >= limits.max_queued;
        let stands_still = now.duration_since(self.moved_at) > MOVES_WITHIN;
        if waited > limits.park_after || full && stands_still {
            Room::No(waited)
        } else if full {
            Room::Soon
        } else {
            Room::Yes
        }
    }

    /// Lets a new delivery wait.
    pub fn push(&mut self, item: T, now: Instant) {
        if self.fresh.is_empty() && self.held.is_empty() {
            self.moved_at = now;
        }
        self.fresh.push_back((now, item));
    }

    /// Lets a held delivery wait.
    pub fn push_held(&mut self, item: T) {
        self.held.push_back(item);
    }

    /// The next to send: new ones and held ones in turn.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        self.moved_at = now;
        let from_held = !self.held.is_empty() && (self.held_is_next || self.fresh.is_empty());
        self.held_is_next = !from_held;
        if from_held { self.held.pop_front() } else { self.fresh.pop_front().map(|(_, item)| item) }
    }

    /// Takes everything out, held ones first.
    pub fn drain(&mut self) -> (Vec<T>, Vec<T>) {
        (self.held.drain(..).collect(), self.fresh.drain(..).map(|(_, item)| item).collect())
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.held.len()
    }

    /// How many held ones wait.
    pub fn held_len(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: LaneLimits = LaneLimits {
        max_queued: 3,
        concurrency: 2,
        park_after: Duration::from_secs(2),
        hold_after: Duration::from_mins(5),
        max_parked: 10,
        ordered_wait: Duration::from_mins(1),
    };

    fn filled(now: Instant) -> Lane<u32> {
        let mut lane = Lane::new(now);
        (0..3).for_each(|item| lane.push(item, now));
        lane
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_that_moves_asks_to_wait() {
        let now = Instant::now();
        let mut lane = filled(now);
        assert_eq!(lane.room(&LIMITS, now + MOVES_WITHIN), Room::Soon);
        lane.pop(now + Duration::from_secs(1));
        lane.push(9, now + Duration::from_secs(1));
        assert_eq!(lane.room(&LIMITS, now + Duration::from_millis(1_200)), Room::Soon);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_that_stands_still_keeps_nobody_waiting() {
        let now = Instant::now();
        let later = now + Duration::from_millis(300);
        assert_eq!(filled(now).room(&LIMITS, later), Room::No(Duration::from_millis(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_waits_too_long_takes_nothing_until_it_moves_again() {
        let now = Instant::now();
        let mut lane = filled(now);
        let later = now + Duration::from_secs(3);
        lane.pop(later);
        assert_eq!(lane.room(&LIMITS, later), Room::No(Duration::from_secs(3)));
        for _ in 0..2 {
            lane.pop(later);
        }
        assert_eq!(lane.room(&LIMITS, later), Room::Yes);
    }

    #[tokio::test(start_paused = true)]
    async fn new_and_held_deliveries_take_turns() {
        let now = Instant::now();
        let mut lane = filled(now);
        (10..14).for_each(|item| lane.push_held(item));
        let order: Vec<u32> = std::iter::from_fn(|| lane.pop(now)).collect();
        assert_eq!(order, [0, 10, 1, 11, 2, 12, 13]);
    }

    proptest! {
        /// First in first out for new and for held ones each, nothing is lost, and neither waits for more than one of
        /// the other.
        #[test]
        fn a_lane_keeps_order_and_shares(steps in prop::collection::vec(0..3u8, 1..200)) {
            let now = Instant::now();
            let mut lane = Lane::new(now);
            let (mut sent, mut came) = (Vec::new(), [Vec::new(), Vec::new()]);
            let mut passed_over = [0, 0];
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    0 => { lane.push((0, number), now); came[0].push(number); }
                    1 => { lane.push_held((1, number)); came[1].push(number); }
                    _ => {
                        let waits = [lane.fresh.len(), lane.held.len()];
                        if let Some((kind, number)) = lane.pop(now) {
                            sent.push((kind, number));
                            passed_over[kind] = 0;
                            if waits[1 - kind] > 0 { passed_over[1 - kind] += 1; }
                            prop_assert!(passed_over[1 - kind] <= 1);
                        }
                    }
                }
            }
            sent.extend(std::iter::from_fn(|| lane.pop(now)));
            for kind in 0..2 {
                let own: Vec<usize> = sent.iter().filter(|(of, _)| *of == kind).map(|(_, number)| *number).collect();
                prop_assert_eq!(&own, &came[kind]);
            }
        }
    }
}
