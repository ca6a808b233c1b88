//! Local time that only goes forward: for limits, breakers and waits inside one process.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// Time since the process began. It says nothing about any other process, so it is never stored or sent:
/// what outlives a restart is kept as a [`crate::Timestamp`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// When the process began.
    pub const START: Self = Self(Duration::ZERO);

    /// The moment that is this long after the process began.
    pub const fn from_elapsed(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the process began this is.
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Duration> for Monotonic {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_durations_are_not_negative() {
        let second = Duration::from_secs(1);
        let (early, late) = (Monotonic::START + second, Monotonic::from_elapsed(3 * second));
        assert_eq!(late.since(early), 2 * second);
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early - 2 * second, Monotonic::START);
        assert_eq!((late + Duration::MAX).elapsed(), Duration::MAX);
    }
}
