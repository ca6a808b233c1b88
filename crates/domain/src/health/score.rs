//! The score, and what is expected.

use std::time::Duration;

use super::{Activity, Weighed};
use crate::{
    Timestamp,
    breaker::BreakerSnapshot,
    failing::{DisableRule, FailureRecord},
};

/// As many attempts of the past stand in for recent ones: an endpoint that is quiet is judged by how it used to do.
const PRIOR_TRIES: f64 = 2.0;
/// How many times slower than usual an endpoint must be for nothing to be left of that part.
const WORST_SLOWDOWN: f64 = 8.0;
/// A difference that is a tendency, in points.
const TENDENCY: f64 = 5.0;
/// Fewer failures than this say nothing about their rate.
const MIN_FAILURES_TO_PREDICT: u32 = 3;
/// What is further off is not expected.
const FARTHEST_EXPECTATION: Duration = Duration::from_hours(365 * 24);

/// What the data plane remembers of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its failures since the last success.
    pub failing: FailureRecord,
    /// Its breaker, if that is not closed.
    pub breaker: Option<BreakerSnapshot>,
}

/// How an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Health {
    /// 0 (nothing works) to 100 (everything does).
    pub score: u8,
    /// What it is made of.
    pub parts: Parts,
    /// Where it tends.
    pub trend: Trend,
    /// By how many points the last hours differ from the last weeks.
    pub change: i8,
}

/// What a score is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// By the share of attempts that succeed.
    pub success_rate: Part<f64>,
    /// By how many times slower than usual it answers; none if that is not known.
    pub latency: Part<Option<f64>>,
    /// By its circuit breaker.
    pub breaker: Part<BreakerState>,
    /// By its failures since the last success.
    pub consecutive_failures: Part<u32>,
}

/// A part of a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<V> {
    /// 0 to 100.
    pub score: u8,
    /// How much of the whole it makes up, in percent.
    pub weight: u8,
    /// What it was scored by.
    pub value: V,
}

/// What a circuit breaker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything is sent.
    Closed,
    /// Single requests are sent, to see whether it does better.
    HalfOpen,
    /// Nothing is sent.
    Open,
}

/// Where a score tends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// It does better than it used to.
    Improving,
    /// It does as it used to.
    Steady,
    /// It does worse than it used to.
    Worsening,
}

/// How an endpoint does at `now`; none if it was never tried.
pub fn score(activity: Option<&Activity>, condition: &Condition, rule: &DisableRule, now: Timestamp) -> Option<Health> {
    let activity = activity?.at(now);
    let usual_rate = activity.week.success_rate()?;
    let rate = (activity.hour.successes + PRIOR_TRIES * usual_rate) / (activity.hour.tries + PRIOR_TRIES);
    let slowdown = slowdown(&activity.hour, &activity.week);
    let state = breaker_state(condition.breaker, now);
    let failures = condition.failing.failures;
    let breaker = match state {
        BreakerState::Closed => 100.0,
        BreakerState::HalfOpen => 50.0,
        BreakerState::Open => 0.0,
    };
    let left_until_disabled = 1.0 - f64::from(failures.min(rule.min_failures)) / f64::from(rule.min_failures.max(1));
    let parts = Parts {
        success_rate: Part { score: points(rate * 100.0), weight: 50, value: rate },
        latency: Part { score: points(latency_points(slowdown)), weight: 20, value: slowdown },
        breaker: Part { score: points(breaker), weight: 15, value: state },
        consecutive_failures: Part { score: points(left_until_disabled * 100.0), weight: 15, value: failures },
    };
    let change = ((rate - usual_rate) * 100.0).mul_add(0.5, (latency_points(slowdown) - 100.0) * 0.2);
    let trend = match change {
        change if change >= TENDENCY => Trend::Improving,
        change if change <= -TENDENCY => Trend::Worsening,
        _ => Trend::Steady,
    };
    Some(Health { score: parts.total(), parts, trend, change: whole(change) })
}

impl Parts {
    fn total(&self) -> u8 {
        let weighed = |score: u8, weight: u8| f64::from(score) * f64::from(weight) / 100.0;
        points(
            weighed(self.success_rate.score, self.success_rate.weight)
                + weighed(self.latency.score, self.latency.weight)
                + weighed(self.breaker.score, self.breaker.weight)
                + weighed(self.consecutive_failures.score, self.consecutive_failures.weight),
        )
    }
}

/// When the endpoint will be disabled if it goes on failing as it does; none if nothing points to that.
pub fn disable_expected_at(failing: &FailureRecord, rule: &DisableRule, now: Timestamp) -> Option<Timestamp> {
    let since = failing.since?;
    if failing.failures < MIN_FAILURES_TO_PREDICT {
        return None;
    }
    let interval = now.since(since) / failing.failures;
    let missing = rule.min_failures.saturating_sub(failing.failures);
    let enough_at = now + interval.saturating_mul(missing).min(2 * FARTHEST_EXPECTATION);
    let expected = enough_at.max(since + rule.min_duration);
    (expected.since(now) <= FARTHEST_EXPECTATION).then_some(expected)
}

/// How many times slower than usual it answers.
fn slowdown(recent: &Weighed, usual: &Weighed) -> Option<f64> {
    let (recent, usual) = (recent.typical_milliseconds()?, usual.typical_milliseconds()?);
    // A millisecond more or less is nothing.
    Some((recent + 1.0) / (usual + 1.0))
}

fn latency_points(slowdown: Option<f64>) -> f64 {
    let slowdown = slowdown.unwrap_or(1.0).max(1.0);
    100.0 * (1.0 - slowdown.ln() / WORST_SLOWDOWN.ln()).max(0.0)
}

fn breaker_state(breaker: Option<BreakerSnapshot>, now: Timestamp) -> BreakerState {
    match breaker {
        None => BreakerState::Closed,
        Some(open) if open.open_until > now => BreakerState::Open,
        Some(_) => BreakerState::HalfOpen,
    }
}

/// A number of points.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is cut to 0 to 100")]
fn points(value: f64) -> u8 {
    value.round().clamp(0.0, 100.0) as u8
}

#[expect(clippy::cast_possible_truncation, reason = "it is cut to -100 to 100")]
fn whole(value: f64) -> i8 {
    value.round().clamp(-100.0, 100.0) as i8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::health::Tried;

    const HOUR: Duration = Duration::from_hours(1);
    const RULE: DisableRule = DisableRule { min_failures: 20, min_duration: Duration::from_hours(120) };

    fn start() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    /// Attempts one after another, each this long after the one before: whether it succeeded and how long it took.
    fn activity(every: Duration, attempts: &[(bool, u64)]) -> (Activity, Timestamp) {
        let mut at = start();
        let mut all: Option<Activity> = None;
        for &(success, milliseconds) in attempts {
            at = at + every;
            let answered_after = Some(Duration::from_millis(milliseconds));
            let one = Activity::of(&Tried { at, success, answered_after });
            all = Some(all.map_or(one, |all| all.merged(one)));
        }
        (all.expect("there was an attempt"), at)
    }

    fn health(attempts: &[(bool, u64)], condition: &Condition) -> Health {
        let (activity, now) = activity(HOUR, attempts);
        score(Some(&activity), condition, &RULE, now).expect("it was tried")
    }

    #[test]
    fn an_endpoint_that_works_has_all_points_and_one_never_tried_none() {
        let good = health(&[(true, 50); 40], &Condition::default());
        assert_eq!((good.score, good.trend, good.change), (100, Trend::Steady, 0));
        assert_eq!(score(None, &Condition::default(), &RULE, start()), None);
    }

    #[test]
    fn each_part_takes_its_points_away() {
        let failing = FailureRecord { since: Some(start()), failures: 10 };
        let condition = Condition { failing, breaker: None };
        assert_eq!(health(&[(true, 50); 40], &condition).parts.consecutive_failures.score, 50);
        let (activity, now) = activity(HOUR, &[(true, 50); 40]);
        for (open_until, state, left) in [(now + HOUR, BreakerState::Open, 85), (start(), BreakerState::HalfOpen, 93)] {
            let condition =
                Condition { breaker: Some(BreakerSnapshot { opens: 1, open_until }), ..Condition::default() };
            let found = score(Some(&activity), &condition, &RULE, now).unwrap();
            assert_eq!((found.score, found.parts.breaker.value), (left, state));
        }
    }

    #[test]
    fn it_tends_where_the_last_hours_differ_from_the_last_weeks() {
        let (good, bad) = ([(true, 50); 100], [(false, 50); 6]);
        let worse = health(&[good.as_slice(), &bad].concat(), &Condition::default());
        assert_eq!(worse.trend, Trend::Worsening);
        assert!(worse.score < 90 && worse.change < 0, "{worse:?}");
        let better = health(&[[(false, 50); 100].as_slice(), &[(true, 50); 6]].concat(), &Condition::default());
        assert_eq!(better.trend, Trend::Improving);
        let slow = health(&[good.as_slice(), &[(true, 5_000); 6]].concat(), &Condition::default());
        assert_eq!((slow.trend, slow.parts.latency.score), (Trend::Worsening, 0), "{slow:?}");
    }

    #[test]
    fn a_disable_is_expected_when_both_the_failures_and_the_days_are_reached() {
        let hours = |hours: u32| start() + HOUR * hours;
        let table = [
            ("often: the days decide", 10, 1, Some(120)),
            ("enough by now, and not long enough", 25, 20, Some(120)),
            ("slowly: the twentieth failure decides", 5, 60, Some(240)),
            ("overdue", 30, 130, Some(130)),
            ("too few to tell", 2, 1, None),
            ("none", 0, 1, None),
            ("not within a year", 3, 24 * 90, None),
        ];
        for (name, failures, after, expected) in table {
            let failing = FailureRecord { since: (failures > 0).then(start), failures };
            assert_eq!(disable_expected_at(&failing, &RULE, hours(after)), expected.map(hours), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_further_success_never_costs_points_and_a_further_failure_never_gives_any(
            attempts in proptest::collection::vec(any::<bool>(), 1..60),
        ) {
            let condition = Condition::default();
            let with = |more: Option<bool>| {
                let all: Vec<(bool, u64)> = attempts.iter().copied().chain(more).map(|success| (success, 20)).collect();
                let (activity, _) = activity(Duration::from_mins(1), &all);
                score(Some(&activity), &condition, &RULE, start() + HOUR * 2).unwrap().score
            };
            let before = with(None);
            prop_assert!(with(Some(true)) >= before);
            prop_assert!(with(Some(false)) <= before);
        }
    }
}
