//! Retry tiers: constant delays of which every other delay is made.

use std::time::Duration;

use crate::{Timestamp, delivery::NotBefore};

/// A constant delay with a topic of its own, `postrider.retry.<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tier { delay: Duration }

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
    /// How long it delays.
    pub fn delay(&self) -> Duration { self.delay }
    /// Its name as in its topic: `1s`, `5m`, `2h`; other delays in seconds, or milliseconds (`1500ms`).
    pub fn name(&self) -> String { todo!() }
}

impl Tiers {
    /// From delays in any order. Error: none, a repeated or a zero delay.
    pub fn new(delays: impl IntoIterator<Item = Duration>) -> Result<Self, InvalidTiers> { todo!() }
    /// All, shortest first.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> { self.0.iter() }
    /// The next hop of a delivery due at `not_before`: the longest tier that does not overshoot, or delivery
    /// when what remains is under 10 % of the whole delay or under the shortest tier.
    pub fn next_hop(&self, not_before: NotBefore, now: Timestamp) -> Hop<'_> { todo!() }
    /// The tier for parking `wait` from now: as `next_hop`, never one under 30 s (the longest if all are).
    pub fn parking(&self, wait: Duration) -> &Tier { todo!() }
}

/// A list of tiers that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTiers(String);
