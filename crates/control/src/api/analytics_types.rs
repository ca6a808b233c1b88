//! What the API shows of analytics.

mod examples;

use std::collections::BTreeMap;

use poem_openapi::{Enum, Object};
use postrider_domain::{
    ErrorClass,
    histogram::Histogram,
    rollup::{Grain, Segment},
    tally::{Tally, share},
};
use postrider_postgres::rollups::FailingEndpoint;

use super::schema::Time;
use crate::analytics::{Point, Standing, Window};

/// How much time each point of a series covers, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "AnalyticsStep", rename_all = "snake_case")]
pub(super) enum Step {
    Minute,
    Hour,
    Day,
}

impl From<Step> for Grain {
    fn from(step: Step) -> Self {
        match step {
            Step::Minute => Self::Minute,
            Step::Hour => Self::Hour,
            Step::Day => Self::Day,
        }
    }
}

impl From<Grain> for Step {
    fn from(grain: Grain) -> Self {
        match grain {
            Grain::Minute => Self::Minute,
            Grain::Hour => Self::Hour,
            Grain::Day => Self::Day,
        }
    }
}

/// What was counted. Deliveries are counted when they end, attempts when they are made; every run of a message is a
/// delivery of its own, and tests don't count.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct DeliveryCounts {
    /// Requests that were made.
    attempts: u64,
    /// Those of them that failed.
    failed_attempts: u64,
    /// Deliveries that were answered with 2xx.
    delivered: u64,
    /// Deliveries that went to the dead-letter queue.
    failed: u64,
    /// Deliveries that were cancelled.
    cancelled: u64,
    /// Deliveries that their endpoint was resumed without.
    skipped: u64,
    /// `delivered` of `delivered` and `failed`, 0 to 1; null if there are none.
    success_rate: Option<f64>,
    /// `attempts` for each of `delivered` and `failed`; null if there are none.
    attempts_per_delivery: Option<f64>,
}

/// How long something took, milliseconds. Percentiles are at most 1.6 % beside the truth. Null where nothing was counted.
#[derive(Debug, Object)]
#[oai(example)]
#[expect(clippy::struct_field_names, reason = "their unit, as the answer has it")]
pub(super) struct Durations {
    /// Half took no longer.
    p50_ms: Option<f64>,
    /// 95 of 100 took no longer.
    p95_ms: Option<f64>,
    /// 99 of 100 took no longer.
    p99_ms: Option<f64>,
    /// None took longer.
    max_ms: Option<f64>,
}

/// How often attempts, or deliveries without one, failed for one reason.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct ErrorCount {
    /// The error class, as in a delivery's `last_error`.
    error: String,
    /// How often.
    count: u64,
}

/// What deliveries came to over a window.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct AnalyticsSummary {
    /// The window's first moment, as exact as what is still counted: minutes, hours or days.
    from: Time,
    /// The moment after its last.
    to: Time,
    /// What was counted.
    counts: DeliveryCounts,
    /// Deliveries that ended in success or failure, per second of the window.
    deliveries_per_second: f64,
    /// Why what failed did, the most frequent first.
    errors: Vec<ErrorCount>,
    /// How long attempts took.
    latency: Durations,
    /// From match to delivery, of what was delivered.
    delivery_time: Durations,
}

/// What happened in one step of a series.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct AnalyticsPoint {
    /// When the step begins.
    at: Time,
    /// What was counted in it.
    counts: DeliveryCounts,
    /// Deliveries that ended in success or failure, per second of the step.
    deliveries_per_second: f64,
    /// How long attempts took.
    latency: Durations,
}

/// What deliveries came to, step by step.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct AnalyticsSeries {
    /// How much time each point covers.
    step: Step,
    /// When the first begins.
    from: Time,
    /// When the last ends.
    to: Time,
    /// Every step of the window, those in which nothing happened too; at most 1,500.
    data: Vec<AnalyticsPoint>,
}

/// What deliveries of one event type came to.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct EventTypeCounts {
    /// The event type.
    event_type: String,
    /// What was counted of it.
    counts: DeliveryCounts,
    /// How long attempts took.
    latency: Durations,
}

/// What deliveries came to over a window, by event type.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct AnalyticsByEventType {
    /// The window's first moment.
    from: Time,
    /// The moment after its last.
    to: Time,
    /// The event types with the most attempts.
    data: Vec<EventTypeCounts>,
}

/// An endpoint that fails.
#[derive(Debug, Object)]
#[oai(example, rename = "FailingEndpoint")]
pub(super) struct Failing {
    /// The endpoint.
    pub endpoint_id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// Its name; null if it was deleted.
    pub name: Option<String>,
    /// Requests to it.
    pub attempts: i64,
    /// Those of them that failed.
    pub failed_attempts: i64,
    /// The share of them that failed, 0 to 1; null if none was made.
    pub failure_rate: Option<f64>,
    /// Deliveries to it.
    pub delivered: i64,
    /// Deliveries to it that went to the dead-letter queue.
    pub failed: i64,
}

/// The endpoints that failed most.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct FailingEndpoints {
    /// The first moment of what was looked at: whole hours around the window if it is at most three days long, else whole
    /// days.
    from: Time,
    /// The moment after its last.
    to: Time,
    /// Those with the most failed attempts.
    pub data: Vec<Failing>,
}

/// How fast what may be late or fail is used up, over one window.
#[derive(Debug, Object)]
#[oai(example)]
#[expect(clippy::struct_field_names, reason = "what a burn rate is called")]
pub(super) struct BurnRate {
    /// The window that ends with the one asked for: `1h`, `6h`, `24h` or `72h`.
    window: String,
    /// How many of a hundred deliveries were made in time; null if none ended.
    percent: Option<f64>,
    /// How many times as fast as allowed deliveries were late or failed; null if none ended.
    burn_rate: Option<f64>,
}

/// How deliveries stand to an objective.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct ObjectiveReport {
    /// The window's first moment.
    from: Time,
    /// The moment after its last.
    to: Time,
    /// How long a delivery may take from its match, seconds.
    within_seconds: u32,
    /// How many of a hundred have to be made within that time.
    objective_percent: f64,
    /// Deliveries that were.
    good: u64,
    /// Deliveries that ended in success or failure.
    total: u64,
    /// How many of a hundred were made in time; null if none ended.
    percent: Option<f64>,
    /// Whether the objective is met.
    met: bool,
    /// How many times as fast as allowed deliveries were late or failed: over 1 the objective is missed. Null if none
    /// ended.
    burn_rate: Option<f64>,
    /// The share of what may be late or fail that is left, 0 to 1.
    budget_left: f64,
    /// The same over shorter windows, to be alerted by.
    burn_rates: Vec<BurnRate>,
}

impl From<&Tally> for DeliveryCounts {
    fn from(tally: &Tally) -> Self {
        Self {
            attempts: tally.attempts,
            failed_attempts: tally.failed_attempts,
            delivered: tally.delivered,
            failed: tally.failed,
            cancelled: tally.cancelled,
            skipped: tally.skipped,
            success_rate: tally.success_rate(),
            attempts_per_delivery: tally.attempts_per_delivery(),
        }
    }
}

impl Durations {
    /// Of a histogram of so many to the millisecond.
    pub fn of(histogram: &Histogram, per_milli: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a duration is far below 2^52 microseconds")]
        let millis = |value: u64| value as f64 / per_milli;
        let at = |per_mille| histogram.percentile(per_mille).map(millis);
        Self { p50_ms: at(500), p95_ms: at(950), p99_ms: at(990), max_ms: at(1_000).map(|_| millis(histogram.max())) }
    }

    /// How long attempts took.
    pub fn latency(tally: &Tally) -> Self {
        Self::of(&tally.latency, 1_000.0)
    }

    /// Its values, as a table has them.
    pub fn values(&self) -> [String; 4] {
        [self.p50_ms, self.p95_ms, self.p99_ms, self.max_ms]
            .map(|value| value.map_or(String::new(), |it| it.to_string()))
    }
}

impl AnalyticsSummary {
    /// Of what was counted in a window.
    pub fn of(window: Window, tally: &Tally) -> Self {
        Self {
            from: Time(window.from),
            to: Time(window.to),
            counts: tally.into(),
            deliveries_per_second: per_second(tally, window.elapsed().as_secs_f64()),
            errors: error_counts(&tally.errors),
            latency: Durations::latency(tally),
            delivery_time: Durations::of(&tally.delivery_time, 1.0),
        }
    }
}

impl AnalyticsSeries {
    /// Of the points of a window.
    pub fn of(steps: Segment, points: &[Point]) -> Self {
        let seconds = steps.grain.length().as_secs_f64();
        let point = |point: &Point| AnalyticsPoint {
            at: Time(point.at),
            counts: (&point.tally).into(),
            deliveries_per_second: per_second(&point.tally, seconds),
            latency: Durations::latency(&point.tally),
        };
        Self {
            step: steps.grain.into(),
            from: Time(steps.from),
            to: Time(steps.to),
            data: points.iter().map(point).collect(),
        }
    }
}

impl AnalyticsByEventType {
    /// Of what was counted of each type in a window.
    pub fn of(window: Window, types: Vec<(String, Tally)>) -> Self {
        let counts = |(event_type, tally): (String, Tally)| EventTypeCounts {
            event_type,
            counts: (&tally).into(),
            latency: Durations::latency(&tally),
        };
        Self { from: Time(window.from), to: Time(window.to), data: types.into_iter().map(counts).collect() }
    }
}

impl FailingEndpoints {
    /// Of those that failed in a part of time.
    pub fn of(part: Segment, endpoints: Vec<FailingEndpoint>) -> Self {
        Self { from: Time(part.from), to: Time(part.to), data: endpoints.into_iter().map(Into::into).collect() }
    }
}

impl From<FailingEndpoint> for Failing {
    fn from(row: FailingEndpoint) -> Self {
        Self {
            endpoint_id: row.endpoint.to_string(),
            tenant_id: row.tenant.to_string(),
            name: row.name,
            attempts: row.attempts,
            failed_attempts: row.failed_attempts,
            failure_rate: share(row.failed_attempts.unsigned_abs(), row.attempts.unsigned_abs()),
            delivered: row.delivered,
            failed: row.failed,
        }
    }
}

impl BurnRate {
    /// Of one window.
    pub fn of(window: &str, standing: Standing) -> Self {
        Self { window: window.to_owned(), percent: standing.percent, burn_rate: standing.burn_rate }
    }
}

impl ObjectiveReport {
    /// Of a window and the shorter ones that end with it.
    pub fn of(
        window: Window,
        within_seconds: u32,
        objective_percent: f64,
        standing: Standing,
        burn_rates: Vec<BurnRate>,
    ) -> Self {
        Self {
            from: Time(window.from),
            to: Time(window.to),
            within_seconds,
            objective_percent,
            good: standing.good,
            total: standing.total,
            percent: standing.percent,
            met: standing.meets(),
            burn_rate: standing.burn_rate,
            budget_left: (1.0 - standing.burn_rate.unwrap_or(0.0)).max(0.0),
            burn_rates,
        }
    }
}

fn per_second(tally: &Tally, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let ended = tally.ended() as f64;
    ended / seconds
}

fn error_counts(errors: &BTreeMap<ErrorClass, u64>) -> Vec<ErrorCount> {
    let mut counts: Vec<ErrorCount> =
        errors.iter().map(|(error, count)| ErrorCount { error: error.as_str().to_owned(), count: *count }).collect();
    counts.sort_by_key(|error| std::cmp::Reverse(error.count));
    counts
}
