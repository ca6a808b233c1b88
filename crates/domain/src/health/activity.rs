//! Counts of attempts in which the recent ones weigh more.
//!
//! An attempt's weight halves after each half-life, so two sets of them are merged by adding their sums as they are at
//! the later of both times, in whichever order that happens.

use std::time::Duration;

use crate::Timestamp;

/// After this an attempt counts half in [`Activity::hour`].
pub const HOUR_HALF_LIFE: Duration = Duration::from_hours(1);
/// After this an attempt counts half in [`Activity::week`].
pub const WEEK_HALF_LIFE: Duration = Duration::from_hours(7 * 24);

/// Half-lives after which nothing is left.
const FORGOTTEN_AFTER: f64 = 60.0;
/// A sum that is smaller is nothing.
const SMALLEST: f64 = 1e-9;

/// Weighed sums over attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weighed {
    /// Attempts.
    pub tries: f64,
    /// Those that were answered with 2xx.
    pub successes: f64,
    /// Those that were answered at all.
    pub answers: f64,
    /// Over those that were answered, the natural logarithm of how many milliseconds that took, plus one.
    pub latency: f64,
}

/// What came of an endpoint's attempts, as it weighs at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activity {
    /// As of when.
    pub at: Timestamp,
    /// By [`HOUR_HALF_LIFE`].
    pub hour: Weighed,
    /// By [`WEEK_HALF_LIFE`].
    pub week: Weighed,
}

/// One attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// When it ended.
    pub at: Timestamp,
    /// Whether the answer was 2xx.
    pub success: bool,
    /// How long the answer took; none if there was none.
    pub answered_after: Option<Duration>,
}

impl Weighed {
    fn of(tried: &Tried) -> Self {
        let milliseconds = tried.answered_after.map(|took| took.as_secs_f64() * 1_000.0);
        Self {
            tries: 1.0,
            successes: f64::from(u8::from(tried.success)),
            answers: f64::from(u8::from(milliseconds.is_some())),
            latency: milliseconds.map_or(0.0, f64::ln_1p),
        }
    }

    fn after(self, age: Duration, half_life: Duration) -> Self {
        let half_lives = age.as_secs_f64() / half_life.as_secs_f64();
        let left = |sum: f64| {
            if half_lives > FORGOTTEN_AFTER || sum < SMALLEST { 0.0 } else { sum * 0.5_f64.powf(half_lives) }
        };
        Self {
            tries: left(self.tries),
            successes: left(self.successes),
            answers: left(self.answers),
            latency: left(self.latency),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            tries: self.tries + other.tries,
            successes: self.successes + other.successes,
            answers: self.answers + other.answers,
            latency: self.latency + other.latency,
        }
    }

    /// The share of successes.
    pub fn success_rate(&self) -> Option<f64> {
        (self.tries > 0.0).then(|| (self.successes / self.tries).clamp(0.0, 1.0))
    }

    /// How long an answer took, as the geometric mean: a few slow ones do not make it slow.
    pub fn typical_milliseconds(&self) -> Option<f64> {
        (self.answers > 0.0).then(|| (self.latency / self.answers).exp_m1().max(0.0))
    }
}

impl Activity {
    /// That of one attempt.
    pub fn of(tried: &Tried) -> Self {
        let weighed = Weighed::of(tried);
        Self { at: tried.at, hour: weighed, week: weighed }
    }

    /// As it weighs at `at`; as it is, if that is before.
    #[must_use]
    pub fn at(self, at: Timestamp) -> Self {
        let age = at.since(self.at);
        Self {
            at: self.at.max(at),
            hour: self.hour.after(age, HOUR_HALF_LIFE),
            week: self.week.after(age, WEEK_HALF_LIFE),
        }
    }

    /// That of both.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let at = self.at.max(other.at);
        let (one, two) = (self.at(at), other.at(at));
        Self { at, hour: one.hour.plus(two.hour), week: one.week.plus(two.week) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tried(minutes: i64, success: bool, milliseconds: u64) -> Tried {
        let at = Timestamp::from_millis(1_700_000_000_000 + minutes * 60_000);
        Tried { at, success, answered_after: Some(Duration::from_millis(milliseconds)) }
    }

    #[test]
    fn an_attempt_weighs_half_after_a_half_life() {
        let old = Activity::of(&tried(0, true, 100));
        let both = old.merged(Activity::of(&tried(60, false, 100)));
        assert!((both.hour.tries - 1.5).abs() < 1e-9 && (both.hour.successes - 0.5).abs() < 1e-9, "{both:?}");
        assert!((both.hour.success_rate().unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert!((both.week.success_rate().unwrap() - 0.5).abs() < 0.01, "a week hardly changes within an hour");
        let typical = both.hour.typical_milliseconds().unwrap();
        assert!((typical - 100.0).abs() < 1e-6, "{typical}");
    }

    #[test]
    fn what_is_long_ago_ends_as_nothing_and_not_as_a_number_too_small() {
        let later = Activity::of(&tried(0, true, 1)).at(Timestamp::from_millis(1_900_000_000_000));
        assert_eq!((later.hour.tries, later.hour.success_rate()), (0.0, None));
    }

    proptest! {
        #[test]
        fn the_order_of_merging_does_not_matter(
            attempts in proptest::collection::vec((0..10_000i64, any::<bool>(), 0..60_000u64), 1..40),
            split in any::<prop::sample::Index>(),
        ) {
            let all: Vec<Activity> =
                attempts.iter().map(|&(at, success, took)| Activity::of(&tried(at, success, took))).collect();
            let merge = |parts: &[Activity]| parts.iter().copied().reduce(Activity::merged);
            let whole = merge(&all).unwrap();
            let (left, right) = all.split_at(split.index(all.len()));
            let halves = match (merge(right), merge(left)) {
                (Some(one), Some(two)) => one.merged(two),
                (one, two) => one.or(two).unwrap(),
            };
            prop_assert_eq!(whole.at, halves.at);
            for (one, two) in [(whole.hour, halves.hour), (whole.week, halves.week)] {
                prop_assert!((one.tries - two.tries).abs() < 1e-6 && (one.latency - two.latency).abs() < 1e-6);
                prop_assert!(one.successes <= one.tries + 1e-9);
            }
        }
    }
}
