//! A lane: the bounded queue of one endpoint. Pure; the partition's loop moves what it decides.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How much of a new measurement goes into the running mean of service times.
const SMOOTHING: f64 = 0.2;

/// The bounds of every lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLimits {
    /// Deliveries that may wait in the lane.
    pub max_queued: usize,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// A delivery that would wait longer than this is parked.
    pub park_after: Duration,
}

/// What a lane says to a delivery that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<T> {
    /// It waits in the lane.
    Queued,
    /// There is no room, but soon will be: keep it and ask again.
    Full(T),
    /// Its turn is this far off: park it.
    Park(T, Duration),
}

/// One endpoint's queue.
#[derive(Debug)]
pub struct Lane<T> {
    queue: VecDeque<T>,
    /// When each request in flight was started.
    in_flight: Vec<Instant>,
    mean_service: Option<Duration>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), in_flight: Vec::new(), mean_service: None }
    }
}

impl<T> Lane<T> {
    /// Takes a delivery in, if its turn is near enough.
    pub fn admit(&mut self, item: T, limits: LaneLimits, now: Instant) -> Admission<T> {
        let wait = self.wait(limits, now);
        if wait > limits.park_after {
            Admission::Park(item, wait)
        } else if self.queue.len() >= limits.max_queued {
            Admission::Full(item)
        } else {
            self.queue.push_back(item);
            Admission::Queued
        }
    }

    /// How long a delivery that arrives now would wait before it is sent.
    fn wait(&self, limits: LaneLimits, now: Instant) -> Duration {
        let ahead = (self.queue.len() + self.in_flight.len() + 1).saturating_sub(limits.concurrency);
        // A request that has hung for longer than the mean says more than the mean.
        let oldest = self.in_flight.iter().map(|started| now.duration_since(*started)).max();
        let service = self.mean_service.max(oldest).unwrap_or_default();
        service.mul_f64(ratio(ahead, limits.concurrency))
    }

    /// The next delivery to send, if one may be sent now; it counts as in flight from here on.
    pub fn start_next(&mut self, limits: LaneLimits, now: Instant) -> Option<T> {
        if self.in_flight.len() >= limits.concurrency {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.in_flight.push(now);
        Some(next)
    }

    /// The request that was started at `started` is over.
    pub fn finish(&mut self, started: Instant, now: Instant) {
        if let Some(at) = self.in_flight.iter().position(|in_flight| *in_flight == started) {
            self.in_flight.swap_remove(at);
        }
        let took = now.duration_since(started);
        self.mean_service =
            Some(self.mean_service.map_or(took, |mean| mean.mul_f64(1.0 - SMOOTHING) + took.mul_f64(SMOOTHING)));
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
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
            lane.start_next(LIMITS, now);
        }
        lane
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_of_a_fast_endpoint_asks_to_wait() {
        let now = Instant::now();
        assert_eq!(filled(now).admit(9, LIMITS, now), Admission::Full(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_endpoint_parks_what_comes_although_it_was_fast_before() {
        let now = Instant::now();
        let mut lane = filled(now);
        lane.finish(now, now + Duration::from_millis(1));
        lane.start_next(LIMITS, now);
        let later = now + Duration::from_secs(3);
        // Two in flight and two waiting: one and a half turns of three seconds.
        assert_eq!(lane.admit(9, LIMITS, later), Admission::Park(9, Duration::from_millis(4_500)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_lane_sends_at_once_whatever_it_remembers() {
        let now = Instant::now();
        let mut lane = Lane::default();
        assert_eq!(lane.admit(1, LIMITS, now), Admission::Queued);
        assert_eq!(lane.start_next(LIMITS, now), Some(1));
        lane.finish(now, now + Duration::from_mins(1));
        assert!(lane.is_idle());
        assert_eq!(lane.admit(2, LIMITS, now), Admission::Queued);
    }

    proptest! {
        /// Never more in flight or waiting than allowed, first in first out, and nothing is lost.
        #[test]
        fn a_lane_keeps_its_bounds_and_its_order(arrivals in prop::collection::vec(any::<bool>(), 1..200)) {
            let start = Instant::now();
            let (mut lane, mut sent, mut admitted, mut running) = (Lane::default(), Vec::new(), Vec::new(), VecDeque::new());
            for (step, arrives) in arrivals.iter().enumerate() {
                let now = start + Duration::from_millis(u64::try_from(step).unwrap());
                if *arrives {
                    match lane.admit(step, LIMITS, now) {
                        Admission::Queued => admitted.push(step),
                        Admission::Full(item) | Admission::Park(item, _) => prop_assert_eq!(item, step),
                    }
                } else if let Some(started) = running.pop_front() {
                    lane.finish(started, now);
                }
                while let Some(item) = lane.start_next(LIMITS, now) {
                    sent.push(item);
                    running.push_back(now);
                }
                prop_assert!(lane.queue.len() <= LIMITS.max_queued);
                prop_assert!(lane.in_flight.len() <= LIMITS.concurrency);
            }
            let waiting: Vec<usize> = lane.queue.iter().copied().collect();
            prop_assert_eq!([sent, waiting].concat(), admitted);
        }
    }
}
