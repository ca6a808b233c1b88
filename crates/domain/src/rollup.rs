//! Minutes, hours and days that deliveries are counted by, and which of them make up a window.

use std::{fmt, time::Duration};

use crate::Timestamp;

/// How much time one count covers. In UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grain {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

/// A part of a window, in one grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// How much time each of its counts covers.
    pub grain: Grain,
    /// Its first moment.
    pub from: Timestamp,
    /// The moment after its last.
    pub to: Timestamp,
}

impl Grain {
    /// From the finest to the coarsest.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Its name, as stored and as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long it is.
    pub fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
        }
    }

    /// The beginning of the one that `at` is in.
    #[must_use]
    pub fn floor(self, at: Timestamp) -> Timestamp {
        let millis = self.millis();
        Timestamp::from_millis(at.as_millis().div_euclid(millis).saturating_mul(millis))
    }

    /// `at`, if one begins there, or else the beginning of the next.
    #[must_use]
    pub fn ceil(self, at: Timestamp) -> Timestamp {
        let floor = self.floor(at);
        if floor == at { at } else { floor + self.length() }
    }

    fn millis(self) -> i64 {
        i64::try_from(self.length().as_millis()).expect("a day has few milliseconds")
    }

    fn finer(self) -> Option<Self> {
        match self {
            Self::Minute => None,
            Self::Hour => Some(Self::Minute),
            Self::Day => Some(Self::Hour),
        }
    }
}

impl fmt::Display for Grain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The window from `from` to `to` in as few counts as make it up: days where whole days are in it, hours and minutes at
/// its ends. Both ends must be whole minutes.
pub fn segments(from: Timestamp, to: Timestamp) -> Vec<Segment> {
    let mut found = Vec::new();
    split(Grain::Day, from, to, &mut found);
    found
}

fn split(grain: Grain, from: Timestamp, to: Timestamp, found: &mut Vec<Segment>) {
    if from >= to {
        return;
    }
    let Some(finer) = grain.finer() else {
        found.push(Segment { grain, from, to });
        return;
    };
    let (first, last) = (grain.ceil(from), grain.floor(to));
    if first < last {
        split(finer, from, first, found);
        found.push(Segment { grain, from: first, to: last });
        split(finer, last, to, found);
    } else {
        split(finer, from, to, found);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_window_is_made_up_of_days_with_hours_and_minutes_at_its_ends() {
        let found = segments(at("2026-01-30T22:58:00Z"), at("2026-03-01T01:02:00Z"));
        let text: Vec<String> = found.iter().map(|part| format!("{} {} {}", part.grain, part.from, part.to)).collect();
        assert_eq!(
            text,
            [
                "minute 2026-01-30T22:58:00.000Z 2026-01-30T23:00:00.000Z",
                "hour 2026-01-30T23:00:00.000Z 2026-01-31T00:00:00.000Z",
                "day 2026-01-31T00:00:00.000Z 2026-03-01T00:00:00.000Z",
                "hour 2026-03-01T00:00:00.000Z 2026-03-01T01:00:00.000Z",
                "minute 2026-03-01T01:00:00.000Z 2026-03-01T01:02:00.000Z",
            ]
        );
        assert_eq!(segments(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")), []);
    }

    proptest! {
        #[test]
        fn segments_follow_each_other_from_end_to_end_and_are_whole(from in -100_000_i64..100_000, minutes in 0_i64..100_000) {
            let (from, to) = (from * 60_000, (from + minutes) * 60_000);
            let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
            let mut next = from;
            let mut counts = 0;
            for part in segments(from, to) {
                prop_assert_eq!(part.from, next);
                prop_assert!(part.to > part.from);
                prop_assert_eq!((part.grain.floor(part.from), part.grain.ceil(part.to)), (part.from, part.to));
                if part.grain != Grain::Day {
                    counts += part.to.since(part.from).as_millis() / part.grain.length().as_millis();
                }
                next = part.to;
            }
            prop_assert_eq!(next, to);
            prop_assert!(counts <= 2 * (59 + 23), "{} counts at the ends", counts);
        }
    }
}
