//! The queue of an endpoint that is not ordered: what is new and what was held take turns. Pure.

use std::{collections::VecDeque, time::Duration};

use postrider_domain::Priority;
use tokio::time::Instant;

use super::fresh::Fresh;

/// How long after its last success in sending a lane that is full is still taken to move.
const MOVES_WITHIN: Duration = Duration::from_millis(250);
/// How long a full lane that moves may keep its partition waiting.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(100);

/// An endpoint whose lane makes a delivery wait for so long gets more than it takes.
const KEEPS_UP_WITHIN: Duration = Duration::from_millis(500);
/// How many of one lane count as read ahead. What more there is of one endpoint is its own affair: its neighbours do not
/// wait for it.
const COUNTED_AHEAD: usize = 64;

/// What has its turn within this waits in the lane, as far as its endpoint's pace says: no tier for parking is shorter.
pub const LANE_PATIENCE: Duration = Duration::from_secs(30);

/// The bounds of every lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLimits {
    /// New deliveries of one priority that may wait in the lane.
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
    /// No, although it moves: more comes than it works off.
    Overflow,
    /// What waits longest has waited for so long, or nothing moves.
    No(Duration),
}

/// One endpoint's queue.
#[derive(Debug)]
pub struct Lane<T> {
    /// What is new.
    fresh: Fresh<T>,
    /// What was held.
    held: VecDeque<T>,
    /// Whose turn it is when both wait.
    held_is_next: bool,
    moved_at: Instant,
}

impl<T> Lane<T> {
    /// An empty lane.
    pub fn new(now: Instant) -> Self {
        Self { fresh: Fresh::new(), held: VecDeque::new(), held_is_next: false, moved_at: now }
    }

    /// Whether a new delivery of this priority can wait here; those of others are no matter. Measured, not estimated: a burst or a hiccup that the endpoint works
    /// off in time puts nothing aside, and an endpoint that hangs can't hide behind how fast it was.
    pub fn room(&self, priority: Priority, limits: &LaneLimits, now: Instant) -> Room {
        let waited = self.fresh.waited(priority, now);
        let full = self.fresh.len_of(priority) >= limits.max_queued;
        let moves = self.moves(now);
        let just_filled = self.fresh.full_for(priority, now).is_none_or(|full_for| full_for < WAIT_FOR_ROOM);
        match (waited > limits.park_after, full) {
            (false, false) => Room::Yes,
            (false, true) if moves && just_filled => Room::Soon,
            _ if moves => Room::Overflow,
            _ => Room::No(waited),
        }
    }

    fn moves(&self, now: Instant) -> bool {
        now.duration_since(self.moved_at) <= MOVES_WITHIN
    }

    /// How many deliveries have been read before they could be sent although their endpoint takes some: more are not
    /// needed yet. What waits for an endpoint that takes none is put aside, not waited for; nor is an endpoint waited
    /// for that takes less than comes for it, unless the process is late and all lanes look so.
    pub fn read_ahead(&self, is_late: bool, now: Instant) -> usize {
        if !self.moves(now) {
            return 0;
        }
        let counted = if is_late { self.fresh.len() } else { self.fresh.younger_than(KEEPS_UP_WITHIN, now) };
        counted.min(COUNTED_AHEAD)
    }

    /// Lets a new delivery wait.
    pub fn push(&mut self, item: T, priority: Priority, limits: &LaneLimits, now: Instant) {
        if self.fresh.is_empty() && self.held.is_empty() {
            self.moved_at = now;
        }
        self.fresh.push(item, priority, limits.max_queued, now);
    }

    /// Lets a held delivery wait.
    pub fn push_held(&mut self, item: T) {
        self.held.push_back(item);
    }

    /// The next to send: new ones, the more urgent oftener, and held ones in turn.
    pub fn pop(&mut self, limits: &LaneLimits, now: Instant) -> Option<T> {
        self.moved_at = now;
        let from_held = !self.held.is_empty() && (self.held_is_next || self.fresh.is_empty());
        self.held_is_next = !from_held;
        if from_held { self.held.pop_front() } else { self.fresh.pop(limits.max_queued) }
    }

    /// Takes everything out, held ones first.
    pub fn drain(&mut self) -> (Vec<T>, Vec<T>) {
        (self.held.drain(..).collect(), self.fresh.drain())
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.held.len()
    }

    /// How many wait that a new one of this priority does not overtake.
    pub fn len_before(&self, priority: Priority) -> usize {
        self.fresh.len_before(priority) + self.held.len()
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
        (0..3).for_each(|item| lane.push(item, Priority::Normal, &LIMITS, now));
        lane
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_that_moves_asks_to_wait_for_a_moment_then_overflows() {
        let now = Instant::now();
        let mut lane = filled(now);
        assert_eq!(lane.room(Priority::Normal, &LIMITS, now + Duration::from_millis(99)), Room::Soon);
        let later = now + Duration::from_millis(200);
        lane.pop(&LIMITS, later);
        assert_eq!(lane.room(Priority::Normal, &LIMITS, later), Room::Yes);
        lane.push(9, Priority::Normal, &LIMITS, later);
        assert_eq!(lane.room(Priority::Normal, &LIMITS, later), Room::Overflow, "it was never half empty");
        (0..3).for_each(|_| assert!(lane.pop(&LIMITS, later).is_some()));
        (0..3).for_each(|item| lane.push(item, Priority::Normal, &LIMITS, later));
        assert_eq!(lane.room(Priority::Normal, &LIMITS, later), Room::Soon);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_that_stands_still_keeps_nobody_waiting() {
        let now = Instant::now();
        let later = now + Duration::from_millis(300);
        assert_eq!(filled(now).room(Priority::Normal, &LIMITS, later), Room::No(Duration::from_millis(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_waits_too_long_takes_nothing_until_it_moves_again() {
        let now = Instant::now();
        let mut lane = filled(now);
        let later = now + Duration::from_secs(3);
        lane.pop(&LIMITS, later);
        assert_eq!(lane.room(Priority::Normal, &LIMITS, later), Room::Overflow);
        assert_eq!(
            lane.room(Priority::Normal, &LIMITS, later + Duration::from_secs(1)),
            Room::No(Duration::from_secs(4))
        );
        for _ in 0..2 {
            lane.pop(&LIMITS, later);
        }
        assert_eq!(lane.room(Priority::Normal, &LIMITS, later), Room::Yes);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_less_urgent_leaves_room_for_what_is_more() {
        let now = Instant::now();
        let mut lane = filled(now);
        let later = now + Duration::from_secs(3);
        assert_eq!(lane.room(Priority::Normal, &LIMITS, later), Room::No(Duration::from_secs(3)));
        assert_eq!([Priority::High, Priority::Low].map(|it| lane.room(it, &LIMITS, later)), [Room::Yes, Room::Yes]);
        lane.push(7, Priority::High, &LIMITS, later);
        lane.push(8, Priority::Low, &LIMITS, later);
        assert_eq!(Priority::ALL.map(|it| lane.len_before(it)), [1, 4, 5]);
        assert_eq!(lane.pop(&LIMITS, later), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn new_and_held_deliveries_take_turns() {
        let now = Instant::now();
        let mut lane = filled(now);
        (10..14).for_each(|item| lane.push_held(item));
        let order: Vec<u32> = std::iter::from_fn(|| lane.pop(&LIMITS, now)).collect();
        assert_eq!(order, [0, 10, 1, 11, 2, 12, 13]);
    }

    #[test]
    fn only_some_of_a_lane_that_moves_counts_as_read_ahead() {
        let now = Instant::now();
        let mut lane = filled(now);
        assert_eq!(lane.read_ahead(false, now), 3);
        assert_eq!(lane.read_ahead(false, now + Duration::from_millis(251)), 0, "it stands still");
        (0..1_000).for_each(|item| lane.push(item, Priority::Normal, &LIMITS, now));
        assert_eq!(lane.read_ahead(false, now), COUNTED_AHEAD);
        let later = now + Duration::from_millis(600);
        lane.pop(&LIMITS, later);
        assert_eq!([false, true].map(|late| lane.read_ahead(late, later)), [0, COUNTED_AHEAD]);
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
                    0 => { lane.push((0, number), Priority::Normal, &LIMITS, now); came[0].push(number); }
                    1 => { lane.push_held((1, number)); came[1].push(number); }
                    _ => {
                        let waits = [lane.fresh.len(), lane.held.len()];
                        if let Some((kind, number)) = lane.pop(&LIMITS, now) {
                            sent.push((kind, number));
                            passed_over[kind] = 0;
                            if waits[1 - kind] > 0 { passed_over[1 - kind] += 1; }
                            prop_assert!(passed_over[1 - kind] <= 1);
                        }
                    }
                }
            }
            sent.extend(std::iter::from_fn(|| lane.pop(&LIMITS, now)));
            for (kind, came) in came.iter().enumerate() {
                let own: Vec<usize> = sent.iter().filter(|(of, _)| *of == kind).map(|(_, number)| *number).collect();
                prop_assert_eq!(&own, came);
            }
        }
    }
}
