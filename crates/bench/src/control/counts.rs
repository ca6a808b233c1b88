//! What a month of deliveries was counted as, in the rows that adding it up would have made.
//!
//! One thing is less than that: of endpoints, only the busiest have counts by the hour. The others have a delivery in an
//! hour or none, so theirs would be about as many rows again as there were deliveries.

use std::fmt::Write as _;

use postrider_domain::histogram::Histogram;

use super::dataset::{DAYS, Size, midnight};
use super::plane::Plane;

/// One in so many endpoints has counts by the hour.
const BUSY_SHARE: usize = 50;
/// The days of which there are minutes, of the deployment and the largest tenant.
const MINUTE_DAYS: usize = 2;
/// Up to so many deliveries are what their histogram looks like with as many; more look like the next.
const FEW: u64 = 10;
const SOME: u64 = 1_000;
const MANY: u64 = 100_000;

/// Makes them.
pub async fn fill(plane: &Plane, size: Size) -> anyhow::Result<()> {
    plane.sql(&shares(size, plane.largest())).await?;
    let days = rows("day", "1 day", 1, "true");
    let hours = rows("hour", "1 hour", 24, "by_hour");
    let minutes = rows("minute", "1 minute", 24 * 60, "by_minute");
    let days = fill_partitions("rollup_days", "month", DAYS, &days);
    let hours = fill_partitions("rollup_hours", "month", DAYS, &hours);
    let minutes = fill_partitions("rollup_minutes", "day", MINUTE_DAYS, &minutes);
    let fine = async {
        plane.sql(&hours).await?;
        plane.sql(&minutes).await
    };
    tokio::try_join!(plane.sql(&days), fine)?;
    Ok(())
}

/// Whose deliveries are counted, how many there are in a day and how many of them fail: by endpoint; by tenant and in the
/// whole deployment, of each event type and of all.
fn shares(Size { endpoints, counted, .. }: Size, largest: &str) -> String {
    // By the same law as the rows: so many fall to the number-th of all. Every tenth endpoint fails, one try in 25.
    format!(
        "CREATE UNLOGGED TABLE bench_endpoint_shares AS
             SELECT tenant_id, id AS endpoint_id, event_type, number < {endpoints} / {BUSY_SHARE} AS busy,
                 {counted}.0 / {DAYS} / {endpoints} / 3 * power((number + 1)::float8 / {endpoints}, -0.6667) AS share,
                 CASE WHEN number % 10 = 3
                     THEN ceil({counted}.0 / {DAYS} / {endpoints} / 3 * power((number + 1)::float8 / {endpoints}, -0.6667) / 25)::bigint
                     ELSE 0 END AS failing
             FROM bench_endpoints;
         CREATE UNLOGGED TABLE bench_shares AS
             SELECT tenant_id, endpoint_id, event_type, share, failing, busy AS by_hour, false AS by_minute
             FROM bench_endpoint_shares
             UNION ALL
             SELECT tenant_id, '', event_type, sum(share), sum(failing), tenant_id = '{largest}', false
             FROM bench_endpoint_shares GROUP BY tenant_id, event_type
             UNION ALL
             SELECT tenant_id, '', '', sum(share), sum(failing), true, tenant_id = '{largest}'
             FROM bench_endpoint_shares GROUP BY tenant_id
             UNION ALL
             SELECT '', '', event_type, sum(share), sum(failing), true, false FROM bench_endpoint_shares GROUP BY event_type
             UNION ALL
             SELECT '', '', '', sum(share), sum(failing), true, true FROM bench_endpoint_shares;
         ANALYZE bench_shares"
    )
}

/// Counts by `step`, of which a day has `per_day`, of those for which `which` holds.
fn rows(grain: &str, step: &str, per_day: usize, which: &str) -> String {
    let (count, failing) = (format!("ceil(share / {per_day})::bigint"), format!("ceil(failing / {per_day}.0)::bigint"));
    format!(
        "(grain, tenant_id, endpoint_id, event_type, bucket, attempts, failed_attempts, delivered, failed, cancelled,
             skipped, errors, latency, delivery_time)
         SELECT '{grain}', tenant_id, endpoint_id, event_type, bucket, {count} + {failing}, {failing}, {count},
             {failing} / 3, 0, 0,
             CASE WHEN failing > 0 THEN json_build_object('timeout', {failing}) ELSE '{{}}' END,
             {latency}, {delivery_time}
         FROM bench_shares CROSS JOIN generate_series(
             greatest($1, {first}), least($2, {today} + interval '1 day') - interval '{step}', interval '{step}') AS bucket
         WHERE {which}",
        first = midnight(DAYS - 1),
        today = midnight(0),
        latency = histogram(&count, 40_000),
        delivery_time = histogram(&count, 55),
    )
}

/// The statement that fills the partitions of the last `days`, each of which covers a `step`.
fn fill_partitions(parent: &str, step: &str, days: usize, rows: &str) -> String {
    format!(
        "SELECT bench_fill('{parent}', starts, $rows${rows}$rows$)::text FROM (
             SELECT DISTINCT date_trunc('{step}', day AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS starts
             FROM generate_series({first}, {today}, interval '1 day') AS day
         ) AS wanted",
        first = midnight(days - 1),
        today = midnight(0),
    )
}

/// SQL for the histogram of so many: of few, of some or of many.
fn histogram(count: &str, usual: u64) -> String {
    let [few, some, many] = [FEW, SOME, MANY].map(|count| hex(&typical(usual, count)));
    format!(
        "CASE WHEN {count} <= {FEW} THEN '\\x{few}'::bytea WHEN {count} <= {SOME} THEN '\\x{some}' ELSE '\\x{many}' END"
    )
}

/// How long so many things take: mostly this or a little less or more, rarely much longer.
fn typical(usual: u64, count: u64) -> Histogram {
    let mut histogram = Histogram::default();
    for number in 0..count {
        let spread = usual / 2 + usual * (number * 7_919 % 1_000) / 1_000;
        histogram.record(match number % 1_000 {
            999 => spread * (1 + number % 1_999),
            number if number % 50 == 7 => spread * (2 + number % 20),
            _ => spread,
        });
    }
    histogram
}

fn hex(histogram: &Histogram) -> String {
    histogram.to_bytes().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}
