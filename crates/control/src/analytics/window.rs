//! Which time is looked at, by what is still counted so finely.

use std::time::Duration;

use postrider_domain::{
    Timestamp,
    rollup::{Grain, Segment, segments},
};

use crate::upkeep::Retention;

/// The most points of a series.
pub const MAX_POINTS: u64 = 1_500;
/// Without an own step a series has this many points at most.
const COMFORTABLE_POINTS: u64 = 400;
/// What is looked at if nothing is said.
const DEFAULT_LENGTH: Duration = Duration::from_hours(24);

/// A window of time, to the minute; where minutes are no longer counted, to the hour or the day around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: Timestamp,
    /// The moment after its last.
    pub to: Timestamp,
    now: Timestamp,
}

/// Why a window can't be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It ends before it begins.
    #[error("the window ends at {to}, not after its beginning at {from}; give a `from` before `to`")]
    Empty {
        /// Its first moment.
        from: Timestamp,
        /// The moment after its last.
        to: Timestamp,
    },
    /// It begins before anything that is still counted.
    #[error("what happened before {oldest} is no longer counted; give a later `from`")]
    TooOld {
        /// The earliest that is.
        oldest: Timestamp,
    },
    /// Steps of it are no longer counted.
    #[error("counts by {step} go back to {oldest}; give a later `from`, or a longer `step`")]
    StepTooOld {
        /// How long a step is.
        step: Grain,
        /// The earliest that is counted.
        oldest: Timestamp,
    },
    /// It has more steps than a series may have.
    #[error("the window has {points} points by {step}, more than {MAX_POINTS}; give a shorter one, or a longer `step`")]
    TooManyPoints {
        /// How many.
        points: u64,
        /// How long a step is.
        step: Grain,
    },
}

impl WindowError {
    /// The parameter that is to be changed.
    pub fn parameter(&self) -> &'static str {
        match self {
            Self::Empty { .. } | Self::TooOld { .. } => "from",
            Self::StepTooOld { .. } | Self::TooManyPoints { .. } => "step",
        }
    }
}

impl Window {
    /// The window that was asked for: the last 24 hours if nothing is said, up to now if no end is.
    pub fn resolve(
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        now: Timestamp,
        retention: &Retention,
    ) -> Result<Self, WindowError> {
        let to = to.unwrap_or(now).min(now + Grain::Day.length());
        let from = from.unwrap_or(to - DEFAULT_LENGTH);
        if from >= to {
            return Err(WindowError::Empty { from, to });
        }
        let oldest = Grain::Day.floor(now - retention.days);
        if from < oldest {
            return Err(WindowError::TooOld { oldest });
        }
        let (from, to) = (finest(from, now, retention).floor(from), finest(to, now, retention).ceil(to));
        Ok(Self { from, to, now })
    }

    /// The window of this length that ends with this one.
    #[must_use]
    pub fn last(self, length: Duration, retention: &Retention) -> Self {
        let from = self.to - length;
        Self { from: finest(from, self.now, retention).floor(from), ..self }
    }

    /// The counts that make it up.
    pub fn segments(self) -> Vec<Segment> {
        // Nothing has happened after now: what is counted of today is today.
        let to = if self.to >= Grain::Minute.floor(self.now) { Grain::Day.ceil(self.to) } else { self.to };
        segments(self.from, to)
    }

    /// It in steps: of this length, or of the shortest that gives a comfortable number of points.
    pub fn steps(self, step: Option<Grain>, retention: &Retention) -> Result<Segment, WindowError> {
        let kept = |grain: Grain| grain.ceil(self.now - retention.of(grain));
        let around = |grain: Grain| Segment { grain, from: grain.floor(self.from), to: grain.ceil(self.to) };
        let points = |part: Segment| -> u64 {
            u64::try_from(part.to.since(part.from).as_millis() / part.grain.length().as_millis()).unwrap_or(u64::MAX)
        };
        let Some(step) = step else {
            let fits = |part: &Segment| part.from >= kept(part.grain) && points(*part) <= COMFORTABLE_POINTS;
            return Ok(Grain::ALL.into_iter().map(around).find(fits).unwrap_or_else(|| around(Grain::Day)));
        };
        let part = around(step);
        if step != Grain::Day && part.from < kept(step) {
            return Err(WindowError::StepTooOld { step, oldest: kept(step) });
        }
        match points(part) {
            points if points > MAX_POINTS => Err(WindowError::TooManyPoints { points, step }),
            _ => Ok(part),
        }
    }

    /// It in one kind of count, for what is compared rather than added up: hours around it if it is short, else days.
    pub fn coarse(self, retention: &Retention) -> Segment {
        let short = self.to.since(self.from) <= 3 * Grain::Day.length();
        let grain = if short && self.from >= self.now - retention.hours { Grain::Hour } else { Grain::Day };
        Segment { grain, from: grain.floor(self.from), to: grain.ceil(self.to) }
    }

    /// How much of it is over, at least a second.
    pub fn elapsed(self) -> Duration {
        self.to.min(self.now).since(self.from).max(Duration::from_secs(1))
    }
}

/// The finest that a moment is still counted by.
fn finest(at: Timestamp, now: Timestamp, retention: &Retention) -> Grain {
    // The oldest partition may be gone already.
    let kept = |grain: &Grain| at >= Grain::Day.ceil(now - retention.of(*grain));
    Grain::ALL.into_iter().find(kept).unwrap_or(Grain::Day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-10T12:34:56Z";

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn resolve(from: Option<&str>, to: Option<&str>) -> Result<Window, WindowError> {
        Window::resolve(from.map(at), to.map(at), at(NOW), &Retention::default())
    }

    fn ends(window: Window) -> (String, String) {
        (window.from.to_rfc3339(), window.to.to_rfc3339())
    }

    #[test]
    fn a_window_is_as_exact_as_what_is_still_counted() {
        for (from, to, expected) in [
            (None, None, ("2026-03-09T12:34:00.000Z", "2026-03-10T12:35:00.000Z")),
            (Some("2026-03-04T00:00:30Z"), None, ("2026-03-04T00:00:00.000Z", "2026-03-10T12:35:00.000Z")),
            (
                Some("2026-03-01T10:20:30Z"),
                Some("2026-03-02T10:20:30Z"),
                ("2026-03-01T10:00:00.000Z", "2026-03-02T11:00:00.000Z"),
            ),
            (
                Some("2025-08-01T10:20:30Z"),
                Some("2025-09-02T10:20:30Z"),
                ("2025-08-01T00:00:00.000Z", "2025-09-03T00:00:00.000Z"),
            ),
        ] {
            let (from, to) = ends(resolve(from, to).unwrap());
            assert_eq!((from.as_str(), to.as_str()), expected);
        }
    }

    #[test]
    fn what_can_not_be_looked_at_names_its_parameter() {
        let error = resolve(Some("2026-03-10T00:00:00Z"), Some("2026-03-10T00:00:00Z")).unwrap_err();
        assert_eq!(error.parameter(), "from");
        assert!(matches!(resolve(Some("2020-01-01T00:00:00Z"), None), Err(WindowError::TooOld { .. })));
        let month = resolve(Some("2026-02-10T00:00:00Z"), None).unwrap();
        let error = month.steps(Some(Grain::Minute), &Retention::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "counts by minute go back to 2026-03-03T12:35:00.000Z; give a later `from`, or a longer `step`"
        );
        let days = resolve(Some("2026-03-08T00:00:00Z"), None).unwrap();
        let error = days.steps(Some(Grain::Minute), &Retention::default()).unwrap_err();
        assert_eq!((error.parameter(), matches!(error, WindowError::TooManyPoints { .. })), ("step", true));
    }

    #[test]
    fn steps_are_as_short_as_is_comfortable() {
        for (from, grain) in [
            ("2026-03-10T07:00:00Z", Grain::Minute),
            ("2026-03-10T01:00:00Z", Grain::Hour),
            ("2026-02-25T00:00:00Z", Grain::Hour),
            ("2026-02-01T00:00:00Z", Grain::Day),
        ] {
            let part = resolve(Some(from), None).unwrap().steps(None, &Retention::default()).unwrap();
            assert_eq!((part.grain, part.from), (grain, at(from)));
        }
    }

    #[test]
    fn a_window_that_lasts_until_now_takes_today_as_a_whole() {
        let window = resolve(Some("2026-03-01T00:00:00Z"), None).unwrap();
        let day = Segment { grain: Grain::Day, from: window.from, to: at("2026-03-11T00:00:00Z") };
        assert_eq!(window.segments(), [day]);
        assert_eq!(window.elapsed(), at(NOW).since(window.from));
        let past = resolve(Some("2026-03-09T00:00:00Z"), Some("2026-03-09T01:01:00Z")).unwrap();
        assert_eq!(past.segments().len(), 2);
        assert_eq!(past.coarse(&Retention::default()).to, at("2026-03-09T02:00:00Z"));
    }
}
