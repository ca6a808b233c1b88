//! How long reading takes: lists, single things, analytics.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use postrider_testkit::ApiClient;
use reqwest::StatusCode;
use tokio::time::Instant;

use super::plane::Plane;
use super::target::Target;
use crate::report::{millis, table};

/// Reads of each kind, after some that don't count.
const READS: usize = 101;
const WARM_UP: usize = 10;
/// Postgres tells its statistics about a second late.
const STATISTICS_DELAY: Duration = Duration::from_secs(3);
/// The median of hot reads, and that of analytics.
const HOT_LIMIT_MS: f64 = 10.0;
const ANALYTICS_LIMIT_MS: f64 = 100.0;

/// Sequential scans of tables with more than 10,000 rows so far.
const BIG_SCANS: &str = "SELECT coalesce(sum(seq_scan), 0)::bigint::text FROM pg_stat_user_tables
    WHERE (relname LIKE 'deliver%' OR relname LIKE 'rollup%' OR relname LIKE 'audit%'
        OR relname IN ('endpoints', 'subscriptions', 'endpoint_secrets', 'tenants', 'outbox'))
        AND n_live_tup > 10000";

/// Paths of one kind, read in turn.
struct Kind {
    name: &'static str,
    api: ApiClient,
    paths: Vec<String>,
}

/// Measures, prints, and answers the targets. A process with the API runs.
pub async fn measure(plane: &Plane) -> anyhow::Result<Vec<Target>> {
    tokio::time::sleep(STATISTICS_DELAY).await;
    let scans = plane.number(BIG_SCANS).await?;
    let (hot, analytics) = (hot_kinds(plane).await?, analytics_kinds(plane).await?);
    let mut figures = table(&["read", "median", "p95"]);
    let mut slowest = [0.0_f64, 0.0];
    for (group, kinds) in [&hot, &analytics].into_iter().enumerate() {
        for kind in kinds {
            let (median, late) = read(kind).await.with_context(|| kind.name)?;
            figures.add_row([kind.name.to_owned(), millis(median), millis(late)]);
            slowest[group] = slowest[group].max(median.as_secs_f64() * 1_000.0);
        }
    }
    println!("{figures}");
    tokio::time::sleep(STATISTICS_DELAY).await;
    #[expect(clippy::cast_precision_loss, reason = "scans are few")]
    let scans = (plane.number(BIG_SCANS).await? - scans) as f64;
    Ok(vec![
        Target::at_most("hot-reads-slowest-median-ms", slowest[0], HOT_LIMIT_MS),
        Target::at_most("analytics-30d-slowest-median-ms", slowest[1], ANALYTICS_LIMIT_MS),
        Target::at_most("sequential-scans-of-big-tables", scans, 0.0),
    ])
}

async fn hot_kinds(plane: &Plane) -> anyhow::Result<Vec<Kind>> {
    let tenant = plane.largest();
    let sample = async |what: &str, then: &str| {
        // Not the first rows of all: from the middle of the month.
        let sql = format!(
            "SELECT {what} FROM deliveries WHERE tenant_id = '{tenant}' AND matched_at < now() - interval '13 days'
             ORDER BY matched_at DESC LIMIT 50"
        );
        let found = plane.sql(&sql).await?;
        ensure!(!found.is_empty(), "the largest tenant has no deliveries");
        anyhow::Ok(found.iter().map(|value| format!("{then}{value}")).collect::<Vec<_>>())
    };
    let api = plane.tenant()?;
    let kind = |name, paths| Kind { name, api: api.clone(), paths };
    let (since, until) = (plane.time("13 days").await?, plane.time("12 days 23 hours").await?);
    let recent = || format!("/v1/deliveries?since={since}&until={until}&limit=100");
    Ok(vec![
        kind("deliveries of a tenant", vec!["/v1/deliveries".to_owned()]),
        kind("deliveries of an endpoint", sample("endpoint_id", "/v1/deliveries?endpoint_id=").await?),
        kind("deliveries of an event type", sample("event_type", "/v1/deliveries?limit=100&event_type=").await?),
        kind("deliveries of an hour", vec![recent()]),
        kind("failed deliveries", vec!["/v1/deliveries?status=failed&limit=100".to_owned()]),
        kind(
            "failed deliveries of an endpoint",
            sample("endpoint_id", "/v1/deliveries?status=failed&endpoint_id=").await?,
        ),
        kind("deliveries that timed out", vec!["/v1/deliveries?error_class=timeout&limit=100".to_owned()]),
        kind("deliveries that were answered with 503", vec!["/v1/deliveries?http_status=503&limit=100".to_owned()]),
        kind("deliveries of an event", sample("event_id", "/v1/deliveries?event_id=").await?),
        kind("an event with its deliveries", sample("event_id", "/v1/events/").await?),
        kind("a delivery with its attempts", sample("message_id", "/v1/deliveries/").await?),
        kind("deliveries, page by page", pages(&api).await?),
        kind("what waits of an endpoint", sample("endpoint_id", "/v1/deliveries/pending?endpoint_id=").await?),
        kind("what waits of a tenant", vec!["/v1/deliveries/pending".to_owned()]),
        kind("dead letters", vec!["/v1/dead-letters?limit=100".to_owned()]),
        kind("dead letters of an endpoint", sample("endpoint_id", "/v1/dead-letters?endpoint_id=").await?),
        kind("endpoints", vec!["/v1/endpoints?limit=100".to_owned()]),
        kind("an endpoint", sample("endpoint_id", "/v1/endpoints/").await?),
        kind("an endpoint's health", health(sample("endpoint_id", "/v1/endpoints/").await?)),
        kind("the audit log", vec!["/v1/audit-log?limit=100".to_owned()]),
        kind("the audit log of an endpoint", sample("endpoint_id", "/v1/audit-log?entity_id=").await?),
    ])
}

fn health(endpoints: Vec<String>) -> Vec<String> {
    endpoints.into_iter().map(|path| path + "/health").collect()
}

/// The first pages of a long list.
async fn pages(api: &ApiClient) -> anyhow::Result<Vec<String>> {
    let mut paths = vec!["/v1/deliveries?limit=100".to_owned()];
    while paths.len() < 20 {
        let (status, body) = api.get(&paths[paths.len() - 1]).await?;
        ensure!(status == StatusCode::OK, "{status}: {body}");
        let cursor = body["next_cursor"].as_str().context("another page")?;
        paths.push(format!("/v1/deliveries?limit=100&cursor={cursor}"));
    }
    Ok(paths)
}

async fn analytics_kinds(plane: &Plane) -> anyhow::Result<Vec<Kind>> {
    let (tenant, operator) = (plane.tenant()?, plane.operator()?);
    let since = &plane.time("29 days 1 hour 7 minutes").await?;
    let owned =
        format!("SELECT id FROM bench_endpoints WHERE tenant_id = '{}' ORDER BY number LIMIT 50", plane.largest());
    let endpoints = plane.sql(&owned).await?;
    let of = |path: &str| format!("/v1/analytics/{path}{}from={since}", if path.contains('?') { "&" } else { "?" });
    let of_endpoints = |path: &str| endpoints.iter().map(|id| of(&format!("{path}?endpoint_id={id}"))).collect();
    let kind = |name, api: &ApiClient, paths| Kind { name, api: api.clone(), paths };
    Ok(vec![
        kind("summary of the deployment", &operator, vec![of("summary")]),
        kind("summary of a tenant", &tenant, vec![of("summary")]),
        kind("summary of an endpoint", &tenant, of_endpoints("summary")),
        kind("summary of an event type", &tenant, vec![of("summary?event_type=order.1")]),
        kind("event types of the deployment", &operator, vec![of("event-types")]),
        kind("event types of a tenant", &tenant, vec![of("event-types")]),
        kind("event types of an endpoint", &tenant, of_endpoints("event-types")),
        kind("days of the deployment", &operator, vec![of("series?step=day")]),
        kind("hours of the deployment", &operator, vec![of("series?step=hour")]),
        kind("hours of a tenant", &tenant, vec![of("series?step=hour")]),
        kind("hours of an endpoint", &tenant, of_endpoints("series")),
        kind("the tenant's endpoints that fail most", &tenant, vec![of("failing-endpoints")]),
        kind("the endpoints that fail most", &operator, vec![of("failing-endpoints")]),
        kind("an objective of a tenant", &tenant, vec![of("objective?within_seconds=60")]),
        kind("an objective of the deployment", &operator, vec![of("objective?within_seconds=60")]),
    ])
}

/// Reads a kind over and over; answers the median, and what 95 of 100 stay within.
async fn read(kind: &Kind) -> anyhow::Result<(Duration, Duration)> {
    let mut durations = Vec::with_capacity(READS);
    for (number, path) in kind.paths.iter().cycle().take(WARM_UP + READS).enumerate() {
        let begun = Instant::now();
        let (status, body) = kind.api.get(path).await?;
        let took = begun.elapsed();
        ensure!(status == StatusCode::OK, "{path} was answered with {status}: {body}");
        if number >= WARM_UP {
            durations.push(took);
        }
    }
    durations.sort_unstable();
    Ok((durations[READS / 2], durations[READS * 95 / 100]))
}
