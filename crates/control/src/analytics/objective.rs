//! Service level objectives: how many deliveries are made in time, and how fast that uses up what may be late.

use std::time::Duration;

use postrider_domain::tally::{Tally, share};

/// The windows over which it is told how fast failures use up what is allowed: two to be woken by, two to see it slowly
/// going wrong.
pub const BURN_WINDOWS: [(&str, Duration); 4] = [
    ("1h", Duration::from_hours(1)),
    ("6h", Duration::from_hours(6)),
    ("24h", Duration::from_hours(24)),
    ("72h", Duration::from_hours(72)),
];

/// That so many of a hundred deliveries are to be made within so long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// From match to delivery.
    pub within: Duration,
    /// How many of a hundred.
    pub percent: f64,
}

/// How deliveries stand to an objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Deliveries that were made in time.
    pub good: u64,
    /// Deliveries that ended, in success or failure.
    pub total: u64,
    /// How many of a hundred were made in time; none if none ended.
    pub percent: Option<f64>,
    /// How many times as fast as allowed failures come: at 1 all that is allowed is just used up. None if none ended.
    pub burn_rate: Option<f64>,
}

impl Objective {
    /// How what was counted stands to it.
    pub fn standing(self, tally: &Tally) -> Standing {
        let limit = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
        let (good, total) = (tally.delivery_time.count_within(limit), tally.ended());
        let good_share = share(good, total);
        Standing {
            good,
            total,
            percent: good_share.map(|share| share * 100.0),
            burn_rate: good_share.map(|share| (1.0 - share) / (1.0 - self.percent / 100.0)),
        }
    }
}

impl Standing {
    /// Whether it is met: also by nothing at all.
    pub fn meets(&self) -> bool {
        self.burn_rate.is_none_or(|rate| rate <= 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_and_failed_deliveries_use_up_what_is_allowed() {
        let mut tally = Tally { delivered: 98, failed: 2, ..Tally::default() };
        (0..96).for_each(|_| tally.delivery_time.record(50));
        (0..2).for_each(|_| tally.delivery_time.record(90_000));
        let objective = Objective { within: Duration::from_mins(1), percent: 99.0 };
        let standing = objective.standing(&tally);
        assert_eq!((standing.good, standing.total, standing.percent), (96, 100, Some(96.0)));
        assert!((standing.burn_rate.unwrap() - 4.0).abs() < 1e-9);
        assert!(!standing.meets());
        assert!(Objective { percent: 95.0, ..objective }.standing(&tally).meets());
        let none = objective.standing(&Tally::default());
        assert_eq!((none.percent, none.burn_rate, none.meets()), (None, None, true));
    }
}
