//! The rate limit of one endpoint: so many deliveries a second or a minute, with a burst (GCRA).

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Monotonic;

/// The most of `per_second`.
pub const MAX_PER_SECOND: u32 = 10_000;
/// The most of `per_minute`.
pub const MAX_PER_MINUTE: u32 = 600_000;
/// The most of `burst`.
pub const MAX_BURST: u32 = 10_000;

/// How many deliveries an endpoint takes. JSON as in the API: `{"per_second": 10}`, `{"per_minute": 90}`, or
/// both, which must then both be kept; each may have a `"burst"`: how many may go at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RateLimitJson", into = "RateLimitJson")]
pub struct RateLimit {
    per_second: Option<NonZeroU32>,
    per_minute: Option<NonZeroU32>,
    burst: Option<NonZeroU32>,
}

/// Why a rate limit can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidRateLimit {
    /// The offending field.
    pub field: &'static str,
    /// What is wrong with it, and what is allowed.
    pub message: String,
}

impl RateLimit {
    /// A limit of at least one of `per_second` (1 to [`MAX_PER_SECOND`]) and `per_minute` (1 to
    /// [`MAX_PER_MINUTE`]), with a burst of 1 to [`MAX_BURST`]; without one, a second's worth of `per_second`
    /// and a tenth of a minute's worth of `per_minute`.
    pub fn new(per_second: Option<u32>, per_minute: Option<u32>, burst: Option<u32>) -> Result<Self, InvalidRateLimit> {
        if per_second.is_none() && per_minute.is_none() {
            let message = "missing: give 'per_second', 'per_minute' or both".to_owned();
            return Err(InvalidRateLimit { field: "per_second", message });
        }
        Ok(Self {
            per_second: in_range("per_second", per_second, MAX_PER_SECOND)?,
            per_minute: in_range("per_minute", per_minute, MAX_PER_MINUTE)?,
            burst: in_range("burst", burst, MAX_BURST)?,
        })
    }

    /// How many a second; none: as many as `per_minute` allows.
    pub fn per_second(&self) -> Option<NonZeroU32> {
        self.per_second
    }

    /// How many a minute; none: as many as `per_second` allows.
    pub fn per_minute(&self) -> Option<NonZeroU32> {
        self.per_minute
    }

    /// How many at once, if that was said.
    pub fn burst(&self) -> Option<NonZeroU32> {
        self.burst
    }
}

fn in_range(field: &'static str, value: Option<u32>, most: u32) -> Result<Option<NonZeroU32>, InvalidRateLimit> {
    let Some(value) = value else { return Ok(None) };
    match NonZeroU32::new(value).filter(|value| value.get() <= most) {
        Some(value) => Ok(Some(value)),
        None => Err(InvalidRateLimit { field, message: format!("{value} is out of range: use 1 to {most}") }),
    }
}

/// A rate limit as written in JSON, which [`RateLimit::new`] checks so that an error names its field.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_second: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
}

impl TryFrom<RateLimitJson> for RateLimit {
    type Error = InvalidRateLimit;

    fn try_from(json: RateLimitJson) -> Result<Self, InvalidRateLimit> {
        Self::new(json.per_second, json.per_minute, json.burst)
    }
}

impl From<RateLimit> for RateLimitJson {
    fn from(limit: RateLimit) -> Self {
        Self {
            per_second: limit.per_second.map(NonZeroU32::get),
            per_minute: limit.per_minute.map(NonZeroU32::get),
            burst: limit.burst.map(NonZeroU32::get),
        }
    }
}

/// Keeps a [`RateLimit`]: in any second at most `per_second` and a burst go, in any minute at most `per_minute`
/// and a burst. A new one is fully rested. It holds two numbers, whatever the rate.
#[derive(Debug, Clone)]
pub struct Limiter {
    second: Option<Meter>,
    minute: Option<Meter>,
}

impl Limiter {
    /// A rested limiter.
    pub fn new(limit: &RateLimit) -> Self {
        let meter = |rate: Option<NonZeroU32>, period: Duration, default_burst: fn(u32) -> u32| {
            let rate = rate?.get();
            let burst = limit.burst.map_or_else(|| default_burst(rate).max(1), NonZeroU32::get);
            Some(Meter::new(rate, period, burst))
        };
        Self {
            second: meter(limit.per_second, Duration::from_secs(1), |rate| rate),
            minute: meter(limit.per_minute, Duration::from_mins(1), |rate| rate / 10),
        }
    }

    /// Takes one. If that is too early, nothing is taken, and the answer is when one may be taken (unless
    /// another takes it first).
    pub fn take(&mut self, now: Monotonic) -> Result<(), Monotonic> {
        let earliest = self.earliest(now);
        if earliest > now {
            return Err(earliest);
        }
        for meter in self.second.iter_mut().chain(&mut self.minute) {
            meter.take(now);
        }
        Ok(())
    }

    /// How long it is until one with `ahead` others before it may be taken, if each is taken as soon as it may.
    pub fn turn_of(&self, ahead: usize, now: Monotonic) -> Duration {
        // Once the first is taken, a meter either is the one that all wait for or never rests again, so that the
        // meters can be asked one by one; before it, a rested meter gains nothing from waiting for the other.
        let first = self.earliest(now);
        let turn = self.meters().map(|meter| meter.turn(ahead, first)).max();
        turn.map_or(first, |turn| turn.max(first)).since(now)
    }

    fn earliest(&self, now: Monotonic) -> Monotonic {
        self.meters().map(Meter::earliest).fold(now, Monotonic::max)
    }

    fn meters(&self) -> impl Iterator<Item = &Meter> {
        self.second.iter().chain(&self.minute)
    }
}

/// One rate, by the generic cell rate algorithm (ITU-T I.371). It counts time in ticks of `1 / rate`
/// nanoseconds, in which the spacing of any rate is a whole number: nothing is ever rounded away.
#[derive(Debug, Clone)]
struct Meter {
    rate: u128,
    /// Between two deliveries: as many ticks as the period has nanoseconds.
    spacing: u128,
    /// By how much a delivery may come before the theoretical arrival time: the spacings of a burst but for one.
    tolerance: u128,
    /// When the next would come if they came evenly spaced from now on.
    theoretical: u128,
}

impl Meter {
    fn new(rate: u32, period: Duration, burst: u32) -> Self {
        let spacing = period.as_nanos();
        let tolerance = spacing * u128::from(burst - 1);
        Self { rate: rate.into(), spacing, tolerance, theoretical: 0 }
    }

    fn earliest(&self) -> Monotonic {
        self.nanosecond_of(self.theoretical.saturating_sub(self.tolerance))
    }

    fn take(&mut self, now: Monotonic) {
        self.theoretical = self.theoretical_at(now) + self.spacing;
    }

    /// When one with `ahead` others before it may be taken, the first of them at `first`.
    fn turn(&self, ahead: usize, first: Monotonic) -> Monotonic {
        let theoretical = self.theoretical_at(first).saturating_add(self.spacing.saturating_mul(ahead as u128));
        self.nanosecond_of(theoretical.saturating_sub(self.tolerance))
    }

    /// The theoretical arrival time, moved up to `now` if that is past it. A nanosecond stands for the ticks that
    /// were rounded up to it, so that one who waits and comes in time loses none of them.
    fn theoretical_at(&self, now: Monotonic) -> u128 {
        let tick = now.elapsed().as_nanos() * self.rate;
        self.theoretical.max(tick.saturating_sub(self.rate - 1))
    }

    fn nanosecond_of(&self, tick: u128) -> Monotonic {
        let nanoseconds = u64::try_from(tick.div_ceil(self.rate)).unwrap_or(u64::MAX);
        Monotonic::from_elapsed(Duration::from_nanos(nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::from_str;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn limit(per_second: Option<u32>, per_minute: Option<u32>, burst: Option<u32>) -> RateLimit {
        RateLimit::new(per_second, per_minute, burst).unwrap()
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_millis(millis))
    }

    /// Takes as early as it may, as a lane with a backlog does; the times at which it took.
    fn take_eagerly(limiter: &mut Limiter, count: usize, mut now: Monotonic) -> Vec<Monotonic> {
        let mut taken = Vec::new();
        while taken.len() < count {
            match limiter.take(now) {
                Ok(()) => taken.push(now),
                Err(earliest) => now = earliest,
            }
        }
        taken
    }

    #[test]
    fn bad_limits_are_refused_with_the_field() {
        let table = [
            ("{}", "per_second: missing"),
            (r#"{"burst":5}"#, "per_second: missing"),
            (r#"{"per_second":0}"#, "per_second: 0 is out of range: use 1 to 10000"),
            (r#"{"per_second":10001}"#, "per_second: 10001"),
            (r#"{"per_minute":600001}"#, "per_minute: 600001"),
            (r#"{"per_minute":60,"burst":0}"#, "burst: 0"),
            (r#"{"per_hour":60}"#, "unknown field `per_hour`"),
        ];
        for (json, part) in table {
            let message = from_str::<RateLimit>(json).unwrap_err().to_string();
            assert!(message.contains(part), "{json}: {message}");
        }
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_evenly_spaced() {
        let table: [(RateLimit, &[u64]); 6] = [
            (limit(Some(2), None, None), &[5_000, 5_000, 5_500, 6_000, 6_500]),
            (limit(Some(2), None, Some(1)), &[5_000, 5_500, 6_000]),
            (limit(None, Some(30), None), &[5_000, 5_000, 5_000, 7_000, 9_000]),
            (limit(None, Some(6), None), &[5_000, 15_000, 25_000]),
            (limit(None, Some(60), Some(2)), &[5_000, 5_000, 6_000, 7_000]),
            (limit(Some(2), Some(30), None), &[5_000, 5_000, 5_500, 7_000, 9_000]),
        ];
        for (limit, wanted) in table {
            let wanted: Vec<_> = wanted.iter().map(|&millis| at(millis)).collect();
            assert_eq!(take_eagerly(&mut Limiter::new(&limit), wanted.len(), at(5_000)), wanted, "{limit:?}");
        }
    }

    #[test]
    fn a_refused_take_consumes_nothing() {
        let mut limiter = Limiter::new(&limit(Some(100), Some(6), None));
        assert_eq!(limiter.take(at(0)), Ok(()));
        for _ in 0..1_000 {
            assert_eq!(limiter.take(at(1)), Err(at(10_000)));
        }
        assert_eq!(limiter.take(at(10_000)), Ok(()));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift_in_a_day() {
        for burst in [1, 3] {
            let mut limiter = Limiter::new(&limit(Some(3), None, Some(burst)));
            take_eagerly(&mut limiter, burst as usize, at(0));
            let day = 86_400;
            let last = *take_eagerly(&mut limiter, 3 * day, at(0)).last().unwrap();
            assert_eq!(last.elapsed(), Duration::from_secs(day as u64), "burst {burst}");
        }
    }

    fn any_limit() -> impl Strategy<Value = RateLimit> {
        let rates = prop_oneof![
            (1..=50u32).prop_map(|rate| (Some(rate), None)),
            (1..=500u32).prop_map(|rate| (None, Some(rate))),
            (1..=50u32, 1..=500u32).prop_map(|(second, minute)| (Some(second), Some(minute))),
        ];
        (rates, proptest::option::of(1..=20u32)).prop_map(|((second, minute), burst)| limit(second, minute, burst))
    }

    /// Some takes at odd times, so that a limiter is in any state; when it was last used.
    fn used(limit: &RateLimit, gaps: &[u64]) -> (Limiter, Monotonic, Vec<Monotonic>) {
        let (mut limiter, mut now, mut taken) = (Limiter::new(limit), Monotonic::START, Vec::new());
        for &gap in gaps {
            now = now + Duration::from_nanos(gap);
            if limiter.take(now).is_ok() {
                taken.push(now);
            }
        }
        (limiter, now, taken)
    }

    fn gaps() -> impl Strategy<Value = Vec<u64>> {
        let gap = prop_oneof![3 => 0..50_000_000u64, 1 => 0..3_000_000_000u64];
        proptest::collection::vec(gap, 0..300)
    }

    proptest! {
        #[test]
        fn json_round_trips(limit in any_limit()) {
            prop_assert_eq!(from_str::<RateLimit>(&serde_json::to_string(&limit).unwrap()).unwrap(), limit);
        }

        #[test]
        fn no_window_has_more_than_its_rate_and_a_burst(limit in any_limit(), gaps in gaps()) {
            let (mut limiter, now, mut taken) = used(&limit, &gaps);
            taken.extend(take_eagerly(&mut limiter, 200, now));
            let windows = [(limit.per_second(), SECOND, 1), (limit.per_minute(), MINUTE, 10)];
            for (rate, window, part) in windows {
                let Some(rate) = rate.map(NonZeroU32::get) else { continue };
                let most = rate + limit.burst().map_or((rate / part).max(1), NonZeroU32::get);
                for (index, &first) in taken.iter().enumerate() {
                    let count = taken[index..].iter().take_while(|at| at.since(first) <= window).count();
                    prop_assert!(count <= most as usize, "{} in {:?} from {:?}, at most {}", count, window, first, most);
                }
            }
        }

        #[test]
        fn who_waits_is_let_through_at_the_time_told_and_not_before(limit in any_limit(), gaps in gaps()) {
            let (mut limiter, now, _) = used(&limit, &gaps);
            if let Err(earliest) = limiter.clone().take(now) {
                prop_assert!(limiter.take(earliest - Duration::from_nanos(1)).is_err());
                prop_assert!(limiter.take(earliest).is_ok());
            }
        }

        #[test]
        fn the_rate_is_reached(limit in any_limit(), gaps in gaps()) {
            let (mut limiter, now, _) = used(&limit, &gaps);
            let spacing = |rate: Option<NonZeroU32>, window: Duration| rate.map_or(Duration::ZERO, |n| window / n.get());
            let slowest = spacing(limit.per_second(), SECOND).max(spacing(limit.per_minute(), MINUTE));
            let taken = take_eagerly(&mut limiter, 100, now);
            // A nanosecond more for each: `Duration`'s division rounds down.
            prop_assert!(taken[99].since(now) <= (slowest + Duration::from_nanos(1)) * 100);
        }

        #[test]
        fn a_turn_is_when_it_comes(limit in any_limit(), gaps in gaps(), rest in 0..5_000_000_000u64) {
            let (mut limiter, now, _) = used(&limit, &gaps);
            let now = now + Duration::from_nanos(rest);
            let told: Vec<_> = (0..100).map(|ahead| now + limiter.turn_of(ahead, now)).collect();
            for (told, came) in told.iter().zip(take_eagerly(&mut limiter, 100, now)) {
                prop_assert!(told.since(came).max(came.since(*told)) <= Duration::from_nanos(1));
            }
        }
    }
}
