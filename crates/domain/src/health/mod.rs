//! How an endpoint does: a score with its parts, where it tends, and whether it is likely to be disabled.

mod activity;
mod score;

pub use activity::{Activity, HOUR_HALF_LIFE, Tried, WEEK_HALF_LIFE, Weighed};
pub use score::{BreakerState, Condition, Health, Part, Parts, Trend, disable_expected_at, score};
