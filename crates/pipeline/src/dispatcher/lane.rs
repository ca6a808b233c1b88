//! A lane: the bounded queue of one endpoint. Pure; the partition's loop moves what it decides.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The bounds of every lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLimits {
    /// Deliveries that may wait in the lane.
    pub max_queued: usize,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// While what waits longest has waited for more than this, whatever comes is parked.
    pub park_after: Duration,
}

/// What a lane says to a delivery that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<T> {
    /// It waits in the lane.
    Queued,
    /// There is no room, but soon will be: keep it and ask again.
    Full(T),
    /// The lane's wait is this long: park it.
    Park(T, Duration),
}

/// One endpoint's queue.
#[derive(Debug)]
pub struct Lane<T> {
    /// What waits, each with when it came.
    queue: VecDeque<(Instant, T)>,
    in_flight: usize,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), in_flight: 0 }
    }
}

impl<T> Lane<T> {
    /// Takes a delivery in, unless the lane's wait is too long.
    pub fn admit(&mut self, item: T, limits: LaneLimits, now: Instant) -> Admission<T> {
        let wait = self.wait(now);
        if wait > limits.park_after {
            Admission::Park(item, wait)
        } else if self.queue.len() >= limits.max_queued {
            Admission::Full(item)
        } else {
            self.queue.push_back((now, item));
            Admission::Queued
        }
    }

    /// How long the next to be sent has waited. Measured, not estimated: a burst or a hiccup that the endpoint
    /// works off in time parks nothing, and an endpoint that hangs can't hide behind how fast it was.
    fn wait(&self, now: Instant) -> Duration {
        self.queue.front().map_or(Duration::ZERO, |(came, _)| now.duration_since(*came))
    }

    /// The next delivery to send, if one may be sent now; it counts as in flight from here on.
    pub fn start_next(&mut self, limits: LaneLimits) -> Option<T> {
        if self.in_flight >= limits.concurrency {
            return None;
        }
        let (_, next) = self.queue.pop_front()?;
        self.in_flight += 1;
        Some(next)
    }

    /// A request is over.
    pub fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: LaneLimits = LaneLimits { max_queued: 3, concurrency: 2, park_after: Duration::from_secs(2) };

    fn filled(now: Instant) -> Lane<u32> {
        let mut lane = Lane::default();
        for item in 0..5 {
            assert_eq!(lane.admit(item, LIMITS, now), Admission::Queued);
            lane.start_next(LIMITS);
        }
        lane
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_that_has_not_waited_long_asks_to_wait() {
        let now = Instant::now();
        assert_eq!(filled(now).admit(9, LIMITS, now + LIMITS.park_after), Admission::Full(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_waits_too_long_parks_what_comes_until_it_moves_again() {
        let now = Instant::now();
        let mut lane = filled(now);
        let later = now + Duration::from_secs(3);
        assert_eq!(lane.admit(9, LIMITS, later), Admission::Park(9, Duration::from_secs(3)));
        for _ in 0..5 {
            lane.finish();
            lane.start_next(LIMITS);
        }
        assert_eq!(lane.admit(9, LIMITS, later), Admission::Queued);
    }

    proptest! {
        /// Never more in flight or waiting than allowed, first in first out, and nothing is lost.
        #[test]
        fn a_lane_keeps_its_bounds_and_its_order(arrivals in prop::collection::vec(any::<bool>(), 1..200)) {
            let start = Instant::now();
            let (mut lane, mut sent, mut admitted, mut running) = (Lane::default(), Vec::new(), Vec::new(), 0_usize);
            for (step, arrives) in arrivals.iter().enumerate() {
                let now = start + Duration::from_millis(u64::try_from(step).unwrap() * 50);
                if *arrives {
                    match lane.admit(step, LIMITS, now) {
                        Admission::Queued => admitted.push(step),
                        Admission::Full(item) | Admission::Park(item, _) => prop_assert_eq!(item, step),
                    }
                } else if running > 0 {
                    running -= 1;
                    lane.finish();
                }
                while let Some(item) = lane.start_next(LIMITS) {
                    sent.push(item);
                    running += 1;
                }
                prop_assert!(lane.queue.len() <= LIMITS.max_queued);
                prop_assert!(running <= LIMITS.concurrency);
            }
            let waiting: Vec<usize> = lane.queue.iter().map(|(_, item)| *item).collect();
            prop_assert_eq!([sent, waiting].concat(), admitted);
        }
    }
}
