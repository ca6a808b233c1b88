//! How many requests one endpoint gets at a time: more while it keeps up, fewer when it does not.

use std::time::Duration;

use crate::Monotonic;

/// The most requests at a time to any one endpoint.
pub const MAX_CONCURRENCY: u16 = 64;

/// By how much the recent latency must exceed its baseline to count as overload, besides being twice that: what a
/// fast endpoint's noise, a garbage collection, or a lost packet brings is no overload.
const LATENCY_FLOOR: Duration = Duration::from_millis(50);
/// How slowly the baseline follows.
const BASELINE_ADAPTS_IN: Duration = Duration::from_mins(5);
/// How slowly it follows while requests go one at a time: then the latency is the endpoint's own, whatever it is.
const ALONE_ADAPTS_IN: Duration = Duration::from_secs(10);
/// A single answer weighs no more in the baseline than this much time, however long the endpoint was idle.
const LONGEST_STEP: Duration = Duration::from_secs(10);
/// The weight of one answer in the recent latency.
const RECENT_WEIGHT: f32 = 1.0 / 8.0;
/// Until there were so many answers, the baseline is their mean, and latency is not judged.
const WARM_UP_ANSWERS: u8 = 16;

/// The adaptive limit of one endpoint, between 1 and its maximum.
///
/// It grows by one for every limit's worth of answers that came while it was fully used (additive increase). It is
/// halved by an overload (429, 502 to 504, a time-out) and lowered by a fifth when the recent latency is over twice
/// the endpoint's own long-term baseline (multiplicative decrease), once a round: what was in flight at a decrease
/// is of the round before, and is judged no more. An endpoint that always takes 5 s is at its baseline and keeps
/// its concurrency.
#[derive(Debug, Clone)]
pub struct AdaptiveLimit {
    limit: u16,
    max: u16,
    /// Answers since the limit last changed that came while it was fully used.
    answers_at_limit: u16,
    latency: Latency,
    decreased_at: Option<Monotonic>,
}

impl AdaptiveLimit {
    /// A limit that begins at a quarter of `max` (1 to [`MAX_CONCURRENCY`]; others are moved there).
    pub fn new(max: u16) -> Self {
        let max = max.clamp(1, MAX_CONCURRENCY);
        let limit = max.div_ceil(4);
        Self { limit, max, answers_at_limit: 0, latency: Latency::default(), decreased_at: None }
    }

    /// How many requests may be in flight.
    pub fn limit(&self) -> usize {
        self.limit.into()
    }

    /// A request begun at `begun_at` was answered in time, and not by an overload. `in_flight` are the requests that
    /// were in flight just before, this one with them.
    pub fn on_answer(&mut self, begun_at: Monotonic, in_flight: usize, now: Monotonic) {
        let this_round = self.is_of_this_round(begun_at);
        let alone = self.limit == 1 && this_round;
        self.latency.observe(now.since(begun_at), now, this_round, alone);
        if !this_round {
            return;
        }
        if self.latency.is_overload() {
            self.decrease(self.limit * 4 / 5, now);
        } else if in_flight >= self.limit() {
            self.answers_at_limit += 1;
            if self.answers_at_limit >= self.limit {
                self.limit = self.max.min(self.limit + 1);
                self.answers_at_limit = 0;
            }
        }
    }

    /// A request begun at `begun_at` ended in 429, 502 to 504, or a time-out.
    pub fn on_overload(&mut self, begun_at: Monotonic, now: Monotonic) {
        if self.is_of_this_round(begun_at) {
            self.decrease(self.limit / 2, now);
        }
    }

    fn is_of_this_round(&self, begun_at: Monotonic) -> bool {
        self.decreased_at.is_none_or(|decreased_at| begun_at > decreased_at)
    }

    fn decrease(&mut self, limit: u16, now: Monotonic) {
        self.limit = limit.max(1);
        self.answers_at_limit = 0;
        self.decreased_at = Some(now);
        self.latency.begin_round();
    }
}

/// Recent latency against its long-term baseline, both in seconds: moving averages of the same numbers, so that an
/// endpoint whose latency varies widely is not overloaded by that.
#[derive(Debug, Clone, Default)]
struct Latency {
    baseline: f32,
    recent: f32,
    /// How many answers there were, up to [`WARM_UP_ANSWERS`].
    answers: u8,
    observed_at: Monotonic,
}

impl Latency {
    fn observe(&mut self, latency: Duration, now: Monotonic, this_round: bool, alone: bool) {
        let mut latency = latency.as_secs_f32();
        let step = now.since(self.observed_at).min(LONGEST_STEP).as_secs_f32();
        self.observed_at = now;
        if self.answers < WARM_UP_ANSWERS {
            self.answers += 1;
            self.baseline += (latency - self.baseline) / f32::from(self.answers);
            self.recent = self.baseline;
            return;
        }
        // One that is far out counts as just out: overload is several slow answers, not one.
        latency = latency.min(4.0 * self.baseline + 2.0 * LATENCY_FLOOR.as_secs_f32());
        let adapts_in = if alone { ALONE_ADAPTS_IN } else { BASELINE_ADAPTS_IN };
        self.baseline += (latency - self.baseline) * step / (step + adapts_in.as_secs_f32());
        if this_round {
            self.recent += (latency - self.recent) * RECENT_WEIGHT;
        }
    }

    fn is_overload(&self) -> bool {
        self.recent > 2.0 * self.baseline && self.recent - self.baseline > LATENCY_FLOOR.as_secs_f32()
    }

    fn begin_round(&mut self) {
        self.recent = self.baseline;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_millis(millis))
    }

    /// Rounds of as many requests as the limit allows, all begun together and answered after `latency(limit)` ms;
    /// when the last round ended.
    fn run(limit: &mut AdaptiveLimit, rounds: usize, mut now: u64, latency: impl Fn(u64) -> u64) -> u64 {
        for _ in 0..rounds {
            let (requests, begun_at) = (limit.limit(), now + 1);
            now = begun_at + latency(requests as u64);
            for _ in 0..requests {
                limit.on_answer(at(begun_at), requests, at(now));
            }
        }
        now
    }

    #[test]
    fn it_begins_at_a_quarter_and_within_its_bounds() {
        for (max, limit) in [(0, 1), (1, 1), (4, 1), (5, 2), (64, 16), (1_000, 16)] {
            assert_eq!(AdaptiveLimit::new(max).limit(), limit, "{max}");
        }
    }

    #[test]
    fn it_grows_by_one_a_round_up_to_its_maximum() {
        let mut limit = AdaptiveLimit::new(64);
        let now = run(&mut limit, 1, 0, |_| 10);
        assert_eq!(limit.limit(), 17);
        run(&mut limit, 100, now, |_| 10);
        assert_eq!(limit.limit(), 64);
    }

    #[test]
    fn it_does_not_grow_while_it_is_not_used() {
        let mut limit = AdaptiveLimit::new(64);
        for n in 0..1_000 {
            limit.on_answer(at(10 * n), 15, at(10 * n + 10));
        }
        assert_eq!(limit.limit(), 16);
    }

    #[test]
    fn an_endpoint_that_always_takes_5_s_gains_concurrency() {
        let mut limit = AdaptiveLimit::new(64);
        run(&mut limit, 100, 0, |_| 5_000);
        assert_eq!(limit.limit(), 64);
    }

    #[test]
    fn an_endpoint_of_two_speeds_gains_concurrency() {
        let mut limit = AdaptiveLimit::new(64);
        let mut now = 0;
        for n in 0..5_000 {
            let (begun_at, latency) = (now, if n % 2 == 0 { 10 } else { 500 });
            now += latency;
            limit.on_answer(at(begun_at), 64, at(now));
        }
        assert_eq!(limit.limit(), 64);
    }

    #[test]
    fn an_overload_halves_once_a_round() {
        let mut limit = AdaptiveLimit::new(64);
        for _ in 0..16 {
            limit.on_overload(at(100), at(200));
        }
        assert_eq!(limit.limit(), 8);
        limit.on_overload(at(200), at(250));
        assert_eq!(limit.limit(), 8, "begun before the decrease was known");
        limit.on_overload(at(201), at(300));
        assert_eq!(limit.limit(), 4);
        for n in 4..10 {
            limit.on_overload(at(100 * n), at(100 * n + 50));
        }
        assert_eq!(limit.limit(), 1);
    }

    #[test]
    fn latency_far_over_the_baseline_lowers_it() {
        let mut limit = AdaptiveLimit::new(64);
        let now = run(&mut limit, 100, 0, |_| 20);
        run(&mut limit, 4, now, |_| 400);
        assert!(limit.limit() < 64 && limit.limit() >= 25, "{}", limit.limit());
    }

    #[test]
    fn slow_answers_of_the_round_before_a_decrease_lower_it_no_further() {
        let mut limit = AdaptiveLimit::new(64);
        let now = run(&mut limit, 100, 0, |_| 20);
        let now = run(&mut limit, 1, now, |_| 400);
        assert_eq!(limit.limit(), 51);
        run(&mut limit, 1, now, |_| 20);
        assert_eq!(limit.limit(), 52);
    }

    #[test]
    fn a_few_milliseconds_more_are_no_overload_and_neither_is_one_slow_answer() {
        let mut limit = AdaptiveLimit::new(64);
        let now = run(&mut limit, 100, 0, |_| 5);
        let now = run(&mut limit, 100, now, |_| 45);
        assert_eq!(limit.limit(), 64);
        limit.on_answer(at(now), 64, at(now + 30_000));
        assert_eq!(limit.limit(), 64);
    }

    #[test]
    fn an_endpoint_that_grew_slower_for_good_is_not_punished_for_ever() {
        let mut limit = AdaptiveLimit::new(64);
        let mut now = run(&mut limit, 100, 0, |_| 10);
        let slow_since = now;
        now = run(&mut limit, 30, now, |_| 5_000);
        assert!(limit.limit() < 16, "{}", limit.limit());
        while limit.limit() < 32 {
            now = run(&mut limit, 1, now, |_| 5_000);
            assert!(now - slow_since < 600_000, "limit {} after ten minutes", limit.limit());
        }
    }

    #[test]
    fn an_endpoint_that_works_on_a_few_at_a_time_is_not_flooded() {
        let mut limit = AdaptiveLimit::new(64);
        // Eight at a time take 100 ms; more than that wait their turn.
        run(&mut limit, 200, 0, |requests| 100 * requests.div_ceil(8).max(1));
        assert!((6..=40).contains(&limit.limit()), "{}", limit.limit());
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds_and_overload_ends_at_one(
            max in 0..200u16,
            events in proptest::collection::vec((any::<bool>(), 0..5_000u64, 0..100usize, 0..1_000u64), 0..500),
        ) {
            let mut limit = AdaptiveLimit::new(max);
            let mut now = 0;
            for (overload, latency, in_flight, gap) in events {
                now += gap;
                let before = limit.limit();
                if overload {
                    limit.on_overload(at(now.saturating_sub(latency)), at(now));
                    prop_assert!(limit.limit() <= before && limit.limit() >= before / 2);
                } else {
                    limit.on_answer(at(now.saturating_sub(latency)), in_flight, at(now));
                    prop_assert!(limit.limit() <= before + 1 && limit.limit() >= before * 4 / 5);
                }
                prop_assert!((1..=usize::from(max.clamp(1, MAX_CONCURRENCY))).contains(&limit.limit()));
            }
            for _ in 0..7 {
                limit.on_overload(at(now + 1), at(now + 2));
                now += 2;
            }
            prop_assert_eq!(limit.limit(), 1);
        }
    }
}
