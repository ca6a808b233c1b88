//! How long the oldest unsettled record has been unsettled, without a clock being asked for each record.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Samples that are kept; past it every second one is forgotten, which makes long ages less exact.
const MAX_SAMPLES: usize = 256;

/// How far reading was at some times: as exact as it is sampled often.
#[derive(Debug, Default)]
pub(crate) struct PrefixAge {
    /// When, and the offset that was to be read next.
    samples: VecDeque<(Instant, i64)>,
}

impl PrefixAge {
    /// The age of the record at `prefix`, of which all before `next` were read; zero if it was not read yet.
    pub(crate) fn sample(&mut self, now: Instant, prefix: i64, next: i64) -> Duration {
        if prefix >= next {
            self.samples.clear();
        }
        // Of the samples at which the record was not read yet, only the last one matters.
        while self.samples.get(1).is_some_and(|(_, next)| *next <= prefix) {
            self.samples.pop_front();
        }
        if self.samples.back().is_none_or(|(_, last)| *last != next) {
            self.samples.push_back((now, next));
        }
        if self.samples.len() > MAX_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
        }
        match self.samples.front() {
            Some((at, _)) if prefix < next => now - *at,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_record_that_holds_the_prefix() {
        let (start, mut age) = (Instant::now(), PrefixAge::default());
        let mut at = |seconds, prefix, next| age.sample(start + Duration::from_secs(seconds), prefix, next).as_secs();
        assert_eq!(at(0, 5, 5), 0);
        assert_eq!(at(1, 5, 100), 1);
        assert_eq!(at(2, 5, 200), 2);
        assert_eq!(at(60, 5, 300), 60);
        // The record at 5 is done; the one at 150 was read between the first and the second second.
        assert_eq!(at(61, 150, 300), 60);
        assert_eq!(at(62, 300, 300), 0);
        for second in 63..2_000 {
            assert_eq!(at(second, 300, 300 + i64::try_from(second).unwrap()), second - 62);
        }
    }
}
