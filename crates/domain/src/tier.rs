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
    pub const fn new(delay: Duration) -> Self {
        Self { delay: Duration::from_millis(delay.as_millis() as u64) }
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
