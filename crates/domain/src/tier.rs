//! Retry tiers: constant delays of which every other delay is made.
//!
//! A tier is taken when at least nine tenths of it are wanted, so a hop makes a delivery late by a tenth of the
//! tier at most, and no delay becomes a long chain of small hops because jitter made it a little shorter than
//! a tier. What is left when it is under a tenth of the whole delay, or too little for the shortest tier,
//! is not waited for.

use std::time::Duration;

use crate::{Timestamp, delivery::NotBefore};

/// Never park in a shorter tier: a backlog would circle through Kafka at full speed.
const MIN_PARKING: Duration = Duration::from_secs(30);
/// A delivery that is early by less than this is sent, however short its delay was.
const ALWAYS_NEAR_ENOUGH: Duration = Duration::from_secs(5);

/// A constant delay with a topic of its own, `postrider.retry.<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tier {
    delay: Duration,
}

/// The deployment's tiers, shortest first, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

/// Where a delivery that is not due goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop<'a> {
    /// It is due, or so nearly that no tier would bring it closer.
    Deliver,
    /// To this tier first.
    Tier(&'a Tier),
}

impl Tier {
    /// A tier of that delay, in whole milliseconds; what is finer is cut off.
    pub fn new(delay: Duration) -> Self {
        Self { delay: Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)) }
    }

    /// How long it delays.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Its name as in its topic: `1s`, `5m`, `2h`: the largest unit that divides it, or milliseconds (`1500ms`).
    pub fn name(&self) -> String {
        const UNITS: [(u128, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let millis = self.delay.as_millis();
        UNITS
            .iter()
            .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit))
            .map_or_else(|| format!("{millis}ms"), |(unit, suffix)| format!("{}{suffix}", millis / unit))
    }

    /// Whether waiting here fits a wait of `remaining`: at least nine tenths of it are wanted.
    fn fits(&self, remaining: Duration) -> bool {
        self.delay * 9 / 10 <= remaining
    }
}

impl Default for Tiers {
    /// 1s, 5s, 30s, 5m, 30m, 2h, 10h.
    fn default() -> Self {
        Self([1, 5, 30, 300, 1_800, 7_200, 36_000].map(|seconds| Tier::new(Duration::from_secs(seconds))).into())
    }
}

impl Tiers {
    /// From delays in any order. Error: none, a repeated or a zero delay.
    pub fn new(delays: impl IntoIterator<Item = Duration>) -> Result<Self, InvalidTiers> {
        let mut tiers: Vec<Tier> = delays.into_iter().map(Tier::new).collect();
        tiers.sort();
        if tiers.is_empty() {
            return Err(InvalidTiers("there are no retry tiers: name at least one, as '5s'".into()));
        }
        if tiers[0].delay.is_zero() {
            return Err(InvalidTiers("a retry tier has no delay: use at least 1 ms".into()));
        }
        if let Some(pair) = tiers.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InvalidTiers(format!("the retry tier {} is there twice: remove one", pair[0].name())));
        }
        Ok(Self(tiers))
    }

    /// All, shortest first.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.0.iter()
    }

    /// The next hop of a delivery due at `not_before`: the longest tier of which nine tenths are wanted, or
    /// delivery when what remains is under 10 % of the whole delay or too little for the shortest tier.
    pub fn next_hop(&self, not_before: NotBefore, now: Timestamp) -> Hop<'_> {
        let remaining = not_before.at.since(now);
        if remaining.is_zero() || remaining < not_before.whole_delay / 10 {
            return Hop::Deliver;
        }
        self.0.iter().rev().find(|tier| tier.fits(remaining)).map_or(Hop::Deliver, Hop::Tier)
    }

    /// The tier for parking `wait` from now: the longest of which nine tenths are wanted, but never one under
    /// 30 s (the longest if all are).
    pub fn parking(&self, wait: Duration) -> &Tier {
        let allowed = || self.0.iter().filter(|tier| tier.delay >= MIN_PARKING);
        let fitting = allowed().rfind(|tier| tier.fits(wait));
        fitting.or_else(|| allowed().next()).or(self.0.last()).expect("there is at least one tier")
    }
}

/// Whether a delivery that came back from a tier is too early to send: by more than 5 s and more than 10 % of
/// its whole delay.
pub fn is_early(not_before: NotBefore, now: Timestamp) -> bool {
    not_before.at.since(now) > ALWAYS_NEAR_ENOUGH.max(not_before.whole_delay / 10)
}

/// A list of tiers that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTiers(String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Attempt, retry::RetryPolicy};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn due_in(delay: Duration) -> NotBefore {
        NotBefore { at: NOW + delay, whole_delay: delay }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The tiers that a delivery passes, and when it is handed over.
    fn follow(tiers: &Tiers, delay: Duration) -> (Vec<String>, Timestamp) {
        let (mut hops, mut now) = (Vec::new(), NOW);
        while let Hop::Tier(tier) = tiers.next_hop(due_in(delay), now) {
            hops.push(tier.name());
            now = now + tier.delay();
            assert!(hops.len() < 10_000, "{delay:?} does not end");
        }
        (hops, now)
    }

    #[test]
    fn names_use_the_largest_unit_that_divides() {
        let table = [(1, "1ms"), (1_500, "1500ms"), (5_000, "5s"), (90_000, "90s"), (60_000, "1m"), (7_200_000, "2h")];
        for (millis, name) in table {
            assert_eq!(Tier::new(Duration::from_millis(millis)).name(), name);
        }
        let names: Vec<_> = Tiers::default().iter().map(Tier::name).collect();
        assert_eq!(names, ["1s", "5s", "30s", "5m", "30m", "2h", "10h"]);
    }

    #[test]
    fn tiers_are_sorted_and_bad_lists_refused() {
        let names: Vec<_> = Tiers::new([secs(60), secs(1)]).unwrap().iter().map(Tier::name).collect();
        assert_eq!(names, ["1s", "1m"]);
        let refused = [vec![], vec![Duration::ZERO, secs(1)], vec![secs(60), secs(1), secs(60)]];
        let messages = refused.map(|delays| Tiers::new(delays).unwrap_err().to_string());
        for (message, part) in messages.iter().zip(["no retry tiers", "no delay", "tier 1m is there twice"]) {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn delays_are_made_of_tiers() {
        let table: [(u64, &[&str]); 8] = [
            (0, &[]),
            (1, &["1s"]),
            (5, &["5s"]),
            (300, &["5m"]),
            (270, &["5m"]),
            (18_000, &["2h", "2h", "30m", "30m"]),
            (50_400, &["10h", "2h", "2h"]),
            (86_400, &["10h", "10h", "2h"]),
        ];
        for (seconds, wanted) in table {
            assert_eq!(follow(&Tiers::default(), secs(seconds)).0, wanted, "{seconds} s");
        }
    }

    #[test]
    fn what_is_due_or_nearly_due_is_delivered() {
        let tiers = Tiers::default();
        let due = due_in(secs(100));
        assert_eq!(tiers.next_hop(due, NOW + secs(100)), Hop::Deliver);
        assert_eq!(tiers.next_hop(due, NOW + secs(1_000)), Hop::Deliver);
        assert_eq!(tiers.next_hop(due, NOW + Duration::from_millis(90_001)), Hop::Deliver);
        assert_ne!(tiers.next_hop(due, NOW + secs(90)), Hop::Deliver);
        assert_eq!(tiers.next_hop(due_in(Duration::from_millis(899)), NOW), Hop::Deliver);
    }

    #[test]
    fn parking_takes_no_tier_under_30_seconds() {
        let table = [(0, "30s"), (10, "30s"), (40, "30s"), (269, "30s"), (270, "5m"), (4_000, "30m"), (1 << 40, "10h")];
        for (seconds, name) in table {
            assert_eq!(Tiers::default().parking(secs(seconds)).name(), name, "{seconds} s");
        }
        let short = Tiers::new([secs(1), secs(5)]).unwrap();
        assert_eq!(short.parking(secs(1)).name(), "5s");
    }

    #[test]
    fn early_is_more_than_five_seconds_and_a_tenth() {
        let table = [(10, 5, false), (10, 6, true), (100, 10, false), (100, 11, true), (100, 0, false)];
        for (whole, left, early) in table {
            assert_eq!(is_early(due_in(secs(whole)), NOW + secs(whole - left)), early, "{left} s of {whole} s left");
        }
    }

    proptest! {
        #[test]
        fn a_delay_ends_within_a_tenth_of_itself_or_of_a_tier(millis in 0..=700_000_000u64) {
            let delay = Duration::from_millis(millis);
            let (_, handed_over) = follow(&Tiers::default(), delay);
            let waited = handed_over.since(NOW);
            prop_assert!(waited <= delay * 10 / 9, "{delay:?} became {waited:?}");
            prop_assert!(waited >= delay * 9 / 10 || delay < waited + secs(1), "{delay:?} became {waited:?}");
            prop_assert!(!is_early(due_in(delay), handed_over));
        }

        #[test]
        fn a_jittered_standard_delay_takes_a_handful_of_hops(attempt in 1..=9u32, jitter in 0.9..=1.1f64) {
            let delay = RetryPolicy::default().delay_after(Attempt::new(attempt).unwrap()).unwrap().mul_f64(jitter);
            let (hops, _) = follow(&Tiers::default(), delay);
            prop_assert!(hops.len() <= 5, "{delay:?}: {hops:?}");
        }

        #[test]
        fn any_tiers_bring_any_delay_to_its_end(
            tiers in proptest::collection::btree_set(10..=100_000_000u64, 1..6), factor in 0..=1_000u64,
        ) {
            let longest = Duration::from_millis(*tiers.last().unwrap());
            let tiers = Tiers::new(tiers.into_iter().map(Duration::from_millis)).unwrap();
            let delay = longest * u32::try_from(factor).unwrap() / 100;
            let (_, handed_over) = follow(&tiers, delay);
            prop_assert!(handed_over.since(NOW) <= delay * 10 / 9 + Duration::from_millis(1));
        }
    }
}
