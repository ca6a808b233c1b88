//! `/v1/analytics`.

use std::time::Duration;

use poem::{Request, http::Method};
use postrider_domain::{EndpointId, ErrorClass, TenantId, Timestamp, rollup::Grain, tally::Tally};
use postrider_postgres::rollups::{Delta, insert_deltas};
use serde_json::json;

use super::fixture::Fixture;
use crate::{
    clock,
    upkeep::{fold, keep},
};

const EP: &str = "ep_00000000000000000000000001";
const OTHER: &str = "ep_00000000000000000000000002";

/// Counts `delivered` deliveries of 20 ms, made within 3 s, and `failed` that timed out, some time ago.
async fn count(fixture: &Fixture, tenant: &str, endpoint: &str, ago: Duration, delivered: u64, failed: u64) {
    let mut tally =
        Tally { attempts: delivered + failed, failed_attempts: failed, delivered, failed, ..Tally::default() };
    if failed > 0 {
        tally.errors.insert(ErrorClass::Timeout, failed);
    }
    (0..delivered).for_each(|_| tally.latency.record(20_000));
    (0..delivered).for_each(|_| tally.delivery_time.record(3_000));
    let delta = Delta {
        tenant: TenantId::from_trusted(tenant),
        endpoint: EndpointId::from_trusted(endpoint),
        event_type: if endpoint == EP { "order.created" } else { "order.paid" }.to_owned(),
        minute: Grain::Minute.floor(clock::now() - ago),
        tally,
    };
    let mut conn = fixture.pool.acquire().await.unwrap();
    insert_deltas(&mut conn, &[delta]).await.unwrap();
    drop(conn);
    fold(&fixture.database).await.unwrap();
}

fn ago(duration: Duration) -> String {
    (clock::now() - duration).to_rfc3339()
}

#[tokio::test]
async fn a_summary_is_of_a_tenant_an_endpoint_or_an_event_type_and_of_its_window() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    let stranger = fixture.tenant("initech").await;
    let minute = Duration::from_mins(1);
    count(&fixture, &tenant.id, EP, minute, 6, 2).await;
    count(&fixture, &tenant.id, OTHER, minute, 2, 0).await;
    count(&fixture, &tenant.id, EP, Duration::from_hours(30), 100, 0).await;
    count(&fixture, &stranger.id, EP, minute, 1, 0).await;
    keep(&fixture.database, &crate::upkeep::Retention::default(), clock::now()).await.unwrap();

    let all = tenant.get("/v1/analytics/summary").await;
    assert_eq!(all.status, 200, "{}", all.text);
    let counts = &all.body["counts"];
    assert_eq!((&counts["delivered"], &counts["failed"], &counts["attempts"]), (&json!(8), &json!(2), &json!(10)));
    assert_eq!((&counts["success_rate"], &counts["attempts_per_delivery"]), (&json!(0.8), &json!(1.0)));
    assert_eq!(all.body["errors"], json!([{ "error": "timeout", "count": 2 }]));
    let p50 = all.body["latency"]["p50_ms"].as_f64().unwrap();
    assert!((19.5..=20.5).contains(&p50), "{p50}");
    assert_eq!(all.body["latency"]["max_ms"], json!(20.0));
    for (query, delivered) in [
        (format!("endpoint_id={EP}"), 6),
        ("event_type=order.paid".to_owned(), 2),
        (format!("endpoint_id={EP}&event_type=order.paid"), 0),
        (format!("from={}", ago(Duration::from_hours(48))), 108),
        (format!("from={}&to={}", ago(Duration::from_hours(48)), ago(Duration::from_hours(24))), 100),
    ] {
        let found = tenant.get(&format!("/v1/analytics/summary?{query}")).await;
        assert_eq!(found.body["counts"]["delivered"], json!(delivered), "{query}: {}", found.text);
    }
    assert_eq!(stranger.get("/v1/analytics/summary").await.body["counts"]["delivered"], json!(1));
    let deployment = fixture.call(Method::GET, "/v1/analytics/summary", &fixture.operator_key, None, None).await;
    assert_eq!(deployment.body["counts"]["delivered"], json!(9), "{}", deployment.text);
    let by_type = tenant.get("/v1/analytics/event-types").await;
    let types: Vec<_> = by_type.body["data"].as_array().unwrap().iter().map(|it| it["event_type"].clone()).collect();
    assert_eq!(types, ["order.created", "order.paid"]);
}

#[tokio::test]
async fn a_series_has_every_step_and_can_be_exported() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    count(&fixture, &tenant.id, EP, Duration::from_hours(1), 3, 0).await;
    count(&fixture, &tenant.id, EP, Duration::from_hours(3), 4, 1).await;

    let path = format!("/v1/analytics/series?step=hour&from={}", ago(Duration::from_hours(5)));
    let series = tenant.get(&path).await;
    assert_eq!((series.status, &series.body["step"]), (200, &json!("hour")), "{}", series.text);
    let delivered: Vec<u64> =
        series.body["data"].as_array().unwrap().iter().map(|it| it["counts"]["delivered"].as_u64().unwrap()).collect();
    assert_eq!(delivered, [0, 0, 4, 0, 3, 0]);
    let minutes = tenant.get(&format!("/v1/analytics/series?from={}", ago(Duration::from_hours(2)))).await;
    assert_eq!((&minutes.body["step"], minutes.body["data"].as_array().unwrap().len()), (&json!("minute"), 121));

    let csv = tenant.get(&path.replace("series?", "series.csv?")).await;
    assert_eq!((csv.status, csv.content_type.as_str()), (200, "text/csv; charset=utf-8"));
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 7);
    assert!(lines[0].starts_with("at,attempts,failed_attempts,delivered"));
    assert!(lines[3].contains(",5,1,4,1,0,0,0.8,"), "{}", lines[3]);
}

#[tokio::test]
async fn the_endpoints_that_fail_most_come_first_and_are_named() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    let named = tenant.endpoint().await.id();
    let minute = Duration::from_mins(1);
    count(&fixture, &tenant.id, EP, minute, 5, 1).await;
    count(&fixture, &tenant.id, &named, minute, 1, 3).await;
    count(&fixture, &tenant.id, OTHER, minute, 9, 0).await;
    count(&fixture, "ten_00000000000000000000000009", OTHER, minute, 0, 9).await;

    let found = tenant.get("/v1/analytics/failing-endpoints").await;
    let rows: Vec<_> = found.body["data"].as_array().unwrap().iter().collect();
    assert_eq!(rows.len(), 2, "{}", found.text);
    assert_eq!((&rows[0]["endpoint_id"], &rows[0]["name"]), (&json!(named), &json!("hook")));
    assert_eq!((&rows[0]["failure_rate"], &rows[0]["delivered"]), (&json!(0.75), &json!(1)));
    assert_eq!((&rows[1]["endpoint_id"], &rows[1]["name"]), (&json!(EP), &json!(null)));
    let csv = tenant.get("/v1/analytics/failing-endpoints.csv?limit=1").await;
    assert_eq!(csv.text.lines().count(), 2, "{}", csv.text);
    let everywhere =
        fixture.call(Method::GET, "/v1/analytics/failing-endpoints?limit=1", &fixture.operator_key, None, None).await;
    assert_eq!(everywhere.body["data"][0]["failed_attempts"], json!(9));
}

#[tokio::test]
async fn an_objective_tells_what_was_in_time_and_how_fast_the_rest_burns() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    count(&fixture, &tenant.id, EP, Duration::from_mins(5), 98, 2).await;
    count(&fixture, &tenant.id, EP, Duration::from_hours(10), 100, 0).await;
    let report = tenant.get("/v1/analytics/objective?within_seconds=5").await;
    assert_eq!((&report.body["good"], &report.body["total"]), (&json!(198), &json!(200)), "{}", report.text);
    assert_eq!((&report.body["percent"], &report.body["met"]), (&json!(99.0), &json!(true)));
    let hour = report.body["burn_rates"][0]["burn_rate"].as_f64().unwrap();
    assert!((hour - 2.0).abs() < 1e-6, "{hour}");
    let strict = tenant.get("/v1/analytics/objective?within_seconds=1&objective_percent=99.9").await;
    assert_eq!((&strict.body["good"], &strict.body["met"]), (&json!(0), &json!(false)), "{}", strict.text);
}

#[tokio::test]
async fn what_can_not_be_asked_is_named() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    let year = ago(Duration::from_hours(24 * 365));
    for (path, field) in [
        ("summary?endpoint_id=nonsense".to_owned(), "endpoint_id"),
        ("summary?from=yesterday".to_owned(), "from"),
        (format!("summary?from={}&to={year}", Timestamp::from_millis(1).to_rfc3339()), "from"),
        ("summary?event_type=a%00b".to_owned(), "event_type"),
        (format!("series?step=minute&from={year}"), "step"),
        (format!("series?step=minute&from={}", ago(Duration::from_hours(48))), "step"),
        ("series?step=week".to_owned(), "step"),
        ("failing-endpoints?limit=0".to_owned(), "limit"),
        ("objective".to_owned(), "within_seconds"),
        ("objective?within_seconds=0".to_owned(), "within_seconds"),
        ("objective?within_seconds=1&objective_percent=100".to_owned(), "objective_percent"),
    ] {
        let answer = tenant.get(&format!("/v1/analytics/{path}")).await;
        assert_eq!((answer.status, answer.body["field"].as_str()), (400, Some(field)), "{path}: {}", answer.text);
        answer.assert_problem(400, Some(field));
    }
    let path = format!("/v1/analytics/summary?endpoint_id={EP}");
    let operator = fixture.call(Method::GET, &path, &fixture.operator_key, None, None).await;
    operator.assert_problem(400, Some("Postrider-Tenant"));
    let request = Request::builder().uri("/v1/analytics/summary".parse().unwrap()).finish();
    fixture.send(request).await.assert_problem(401, None);
}
