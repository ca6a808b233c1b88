//! Examples of what the API shows of analytics.

use std::collections::BTreeMap;

use poem_openapi::types::Example;
use postrider_domain::{ErrorClass, Timestamp, tally::Tally};

use super::{
    AnalyticsByEventType, AnalyticsPoint, AnalyticsSeries, AnalyticsSummary, BurnRate, DeliveryCounts, Durations,
    ErrorCount, EventTypeCounts, Failing, FailingEndpoints, ObjectiveReport, Step, error_counts,
};
use crate::api::schema::Time;

const EXAMPLE_FROM: Time = Time(Timestamp::from_millis(1_769_817_600_000));
const EXAMPLE_TO: Time = Time(Timestamp::from_millis(1_769_904_000_000));

/// What the examples show.
fn example_tally() -> Tally {
    let mut tally = Tally { attempts: 1_052, failed_attempts: 54, delivered: 998, failed: 2, ..Tally::default() };
    tally.errors = BTreeMap::from([(ErrorClass::Timeout, 40), (ErrorClass::HttpServerError, 14)]);
    (0..90).for_each(|_| tally.latency.record(42_000));
    (0..10).for_each(|_| tally.latency.record(180_000));
    (0..95).for_each(|_| tally.delivery_time.record(55));
    (0..5).for_each(|_| tally.delivery_time.record(5_200));
    tally
}

macro_rules! examples {
    ($($type:ty = $example:expr;)+) => {
        $(impl Example for $type {
            fn example() -> Self {
                $example
            }
        })+
    };
}

examples! {
    DeliveryCounts = (&example_tally()).into();
    Durations = Self::latency(&example_tally());
    ErrorCount = Self { error: "timeout".to_owned(), count: 40 };
    AnalyticsSummary = Self {
        from: EXAMPLE_FROM,
        to: EXAMPLE_TO,
        counts: DeliveryCounts::example(),
        deliveries_per_second: 0.0116,
        errors: error_counts(&example_tally().errors),
        latency: Durations::example(),
        delivery_time: Durations::of(&example_tally().delivery_time, 1.0),
    };
    AnalyticsPoint = Self {
        at: EXAMPLE_FROM,
        counts: DeliveryCounts::example(),
        deliveries_per_second: 0.278,
        latency: Durations::example(),
    };
    AnalyticsSeries =
        Self { step: Step::Hour, from: EXAMPLE_FROM, to: EXAMPLE_TO, data: vec![AnalyticsPoint::example()] };
    EventTypeCounts = Self {
        event_type: "order.created".to_owned(),
        counts: DeliveryCounts::example(),
        latency: Durations::example(),
    };
    AnalyticsByEventType = Self { from: EXAMPLE_FROM, to: EXAMPLE_TO, data: vec![EventTypeCounts::example()] };
    Failing = Self {
        endpoint_id: "ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
        tenant_id: "ten_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
        name: Some("orders to the warehouse".to_owned()),
        attempts: 412,
        failed_attempts: 206,
        failure_rate: Some(0.5),
        delivered: 204,
        failed: 2,
    };
    FailingEndpoints = Self { from: EXAMPLE_FROM, to: EXAMPLE_TO, data: vec![Failing::example()] };
    BurnRate = Self { window: "1h".to_owned(), percent: Some(99.5), burn_rate: Some(0.5) };
    ObjectiveReport = Self {
        from: EXAMPLE_FROM,
        to: EXAMPLE_TO,
        within_seconds: 60,
        objective_percent: 99.0,
        good: 996,
        total: 1_000,
        percent: Some(99.6),
        met: true,
        burn_rate: Some(0.4),
        budget_left: 0.6,
        burn_rates: vec![BurnRate::example()],
    };
}
