//! When an endpoint has failed for so long that it is disabled.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What an endpoint's failures must reach for it to be disabled: both, with no success between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisableRule {
    /// How many failures at least, so that two that are days apart do not disable a quiet endpoint.
    pub min_failures: u32,
    /// How long ago the first of them must be.
    pub min_duration: Duration,
}

impl Default for DisableRule {
    /// 20 failures over 5 days.
    fn default() -> Self {
        Self { min_failures: 20, min_duration: Duration::from_hours(5 * 24) }
    }
}

/// The failed attempts of an endpoint since its last success, in broker time: kept in its state, so that a restart
/// does not begin them anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// When the first of them ended; none if there was none.
    pub since: Option<Timestamp>,
    /// How many there were.
    pub failures: u32,
}

impl FailureRecord {
    /// An attempt succeeded: what was before it counts no more.
    pub fn on_success(&mut self) {
        *self = Self::default();
    }

    /// An attempt failed.
    pub fn on_failure(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether the endpoint is to be disabled now.
    pub fn must_disable(&self, now: Timestamp, rule: &DisableRule) -> bool {
        self.failures >= rule.min_failures && self.since.is_some_and(|since| now.since(since) >= rule.min_duration)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// A record of `count` failures, `apart` from each other, and when the last of them was.
    fn failing(count: u32, apart: Duration) -> (FailureRecord, Timestamp) {
        let mut record = FailureRecord::default();
        let mut now = Timestamp::from_millis(1_700_000_000_000);
        for n in 0..count {
            now = if n == 0 { now } else { now + apart };
            record.on_failure(now);
        }
        (record, now)
    }

    #[test]
    fn it_takes_twenty_failures_and_five_days() {
        let table = [
            ("two, five days apart", 2, 120 * HOUR, false),
            ("two, a year apart", 2, 365 * 24 * HOUR, false),
            ("19 over five days", 19, 7 * HOUR, false),
            ("20 over just five days", 20, (120 * HOUR).div_f64(19.0) + Duration::from_millis(1), true),
            ("20 over less than that", 20, 6 * HOUR, false),
            ("many in four days", 96, HOUR, false),
            ("many in six days", 144, HOUR, true),
        ];
        for (name, count, apart, disables) in table {
            let (record, now) = failing(count, apart);
            assert_eq!(record.must_disable(now, &DisableRule::default()), disables, "{name}");
        }
    }

    #[test]
    fn a_success_begins_it_anew() {
        let (mut record, mut now) = failing(119, HOUR);
        record.on_success();
        for _ in 0..119 {
            now = now + HOUR;
            record.on_failure(now);
            assert!(!record.must_disable(now, &DisableRule::default()));
        }
        record.on_failure(now + 2 * HOUR);
        assert!(record.must_disable(now + 2 * HOUR, &DisableRule::default()));
    }

    #[test]
    fn it_outlives_a_restart() {
        let (record, _) = failing(7, HOUR);
        let stored = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<FailureRecord>(&stored).unwrap(), record);
    }

    proptest! {
        #[test]
        fn it_disables_exactly_when_the_failures_since_the_last_success_reach_both(
            attempts in proptest::collection::vec((prop::bool::weighted(0.02), 0..24u32), 1..200),
        ) {
            let rule = DisableRule::default();
            let (mut record, mut now, mut streak) = (FailureRecord::default(), Timestamp::EPOCH, Vec::new());
            for (success, hours) in attempts {
                now = now + HOUR * hours;
                if success {
                    record.on_success();
                    streak.clear();
                } else {
                    record.on_failure(now);
                    streak.push(now);
                }
                let wanted = streak.len() >= 20 && now.since(streak[0]) >= 120 * HOUR;
                prop_assert_eq!(record.must_disable(now, &rule), wanted);
            }
        }
    }
}
