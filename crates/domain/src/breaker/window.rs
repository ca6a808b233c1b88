//! How many of the latest tries failed.

use std::time::Duration;

use crate::Monotonic;

/// The tries of this half of a window and of the half before it: between half a window and all of it, in two
/// counts, whatever the rate.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    half: u128,
    current: Tally,
    previous: Tally,
}

/// Tries, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    tries: u32,
    failures: u32,
}

impl Window {
    /// Counts one try; all that count now.
    pub(super) fn record(&mut self, failed: bool, now: Monotonic, window: Duration) -> Tally {
        let half = now.elapsed().as_nanos() / (window.as_nanos() / 2).max(1);
        if half != self.half {
            self.previous = if half == self.half + 1 { self.current } else { Tally::default() };
            self.current = Tally::default();
            self.half = half;
        }
        self.current.tries = self.current.tries.saturating_add(1);
        self.current.failures = self.current.failures.saturating_add(failed.into());
        Tally {
            tries: self.current.tries.saturating_add(self.previous.tries),
            failures: self.current.failures.saturating_add(self.previous.failures),
        }
    }
}

impl Tally {
    /// Whether there are so many tries, of which so many percent failed.
    pub(super) fn reaches(self, min_tries: u32, failure_percent: u8) -> bool {
        let failed = u64::from(self.failures) * 100 >= u64::from(self.tries) * u64::from(failure_percent);
        self.tries >= min_tries && failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_count_for_this_half_and_the_next() {
        let mut window = Window::default();
        // At which second, whether it failed, then the tries and failures that count.
        let table = [(0, true, 1, 1), (14, false, 2, 1), (15, true, 3, 2), (29, true, 4, 3), (30, false, 3, 2)];
        for (second, failed, tries, failures) in table {
            let now = Monotonic::from_elapsed(Duration::from_secs(second));
            let tally = window.record(failed, now, Duration::from_secs(30));
            assert_eq!(tally, Tally { tries, failures }, "at {second} s");
        }
        let later = Monotonic::from_elapsed(Duration::from_secs(100));
        assert_eq!(window.record(true, later, Duration::from_secs(30)), Tally { tries: 1, failures: 1 });
    }

    #[test]
    fn both_the_tries_and_the_share_must_be_reached() {
        let table = [((9, 9), false), ((10, 5), true), ((11, 5), false), ((u32::MAX, u32::MAX), true)];
        for ((tries, failures), reached) in table {
            assert_eq!(Tally { tries, failures }.reaches(10, 50), reached, "{failures} of {tries}");
        }
    }
}
