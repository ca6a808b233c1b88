//! A month of deliveries: rows of the log, and what a longer past was counted as. Few endpoints have most of them.

use std::fmt::Write as _;

use postrider_domain::histogram::Histogram;

use super::plane::Plane;

/// The days that there is something of, today included.
pub const DAYS: usize = 30;
/// So many of the busiest endpoints have counts by the hour: of the others an hour is a delivery or none.
const BUSY_SHARE: usize = 50;
/// Rows that are written in one statement.
const CHUNK: usize = 250_000;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Endpoints.
    pub endpoints: usize,
    /// Rows of the log.
    pub deliveries: usize,
    /// Deliveries that were counted.
    pub counted: usize,
}

/// Makes it. The rows' partitions have been made.
pub async fn fill(plane: &Plane, size: Size) -> anyhow::Result<()> {
    plane.sql(&endpoint_numbers()).await?;
    let per_day = size.deliveries / DAYS;
    // Two at a time, as there are cores.
    let half = |first: usize| async move {
        for day in (first..DAYS).step_by(2) {
            for from in (0..per_day).step_by(CHUNK) {
                let count = CHUNK.min(per_day - from);
                plane.sql(&deliveries(day, day * per_day + from, count, size.endpoints)).await?;
            }
            plane.sql(&attempts(day)).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(half(0), half(1))?;
    println!("  {} deliveries", per_day * DAYS);
    plane.sql(&counts(size)).await?;
    println!("  counts of {} deliveries", size.counted);
    for table in ["deliveries", "delivery_attempts", "rollups", "endpoints", "subscriptions"] {
        plane.sql(&format!("VACUUM ANALYZE {table}")).await?;
    }
    Ok(())
}

/// The partitions of the past: those of what comes are made by the process.
pub fn partitions() -> String {
    let mut sql = String::new();
    for table in ["deliveries", "delivery_attempts", "rollup_minutes", "rollup_hours", "rollup_days"] {
        write!(
            sql,
            "SELECT make_partition('{table}', starts)::text FROM missing_partitions('{table}', now() - interval '32 days',
                 now() - interval '32 days', now() + interval '2 days') AS starts;"
        )
        .expect("a String takes any text");
    }
    sql
}

fn endpoint_numbers() -> String {
    "CREATE UNLOGGED TABLE bench_endpoints AS
         SELECT row_number() OVER (ORDER BY endpoints.id) - 1 AS number, endpoints.id, endpoints.tenant_id,
             subscriptions.id AS subscription_id
         FROM endpoints JOIN subscriptions ON subscriptions.endpoint_id = endpoints.id;
     ALTER TABLE bench_endpoints ADD PRIMARY KEY (number);
     ANALYZE bench_endpoints"
        .to_owned()
}

/// Deliveries number `first` and so on, of one day: 96 of 100 delivered, 3 failed, 1 waits for another try.
fn deliveries(day: usize, first: usize, count: usize, endpoints: usize) -> String {
    let last = first + count - 1;
    format!(
        "INSERT INTO deliveries (message_id, run, tenant_id, endpoint_id, subscription_id, event_id, event_type, kind,
             source_topic, source_partition, source_offset, status, rank, attempt, last_status, last_error,
             next_attempt_at, matched_at, updated_at)
         SELECT 'msg_' || substr(md5('m' || made.number), 1, 26), '0', owner.tenant_id, owner.id, owner.subscription_id,
             'orders/0/' || made.number, 'order.' || owner.number, 'live', 'orders', 0, made.number,
             CASE WHEN made.fate < 0.96 THEN 'delivered' WHEN made.fate < 0.99 THEN 'failed' ELSE 'retrying' END,
             CASE WHEN made.fate < 0.96 THEN 5 WHEN made.fate < 0.99 THEN 3 ELSE 2 END,
             1, CASE WHEN made.fate < 0.96 THEN 200 ELSE 503 END,
             CASE WHEN made.fate < 0.96 THEN NULL ELSE 'http_server_error' END,
             CASE WHEN made.fate < 0.99 THEN NULL ELSE made.at + interval '5 minutes' END, made.at, made.at
         FROM (
             SELECT number, floor({endpoints} * power(random(), 3))::bigint AS owner, random() AS fate,
                 {midnight} + random() * interval '23 hours 59 minutes' AS at
             FROM generate_series({first}, {last}) AS number
         ) AS made JOIN bench_endpoints AS owner ON owner.number = made.owner",
        midnight = midnight(day),
    )
}

/// An attempt for each of a day's deliveries.
fn attempts(day: usize) -> String {
    format!(
        "INSERT INTO delivery_attempts (message_id, run, log_partition, log_offset, tenant_id, attempt, started_at,
             duration_us, status, error)
         SELECT message_id, run, 0, source_offset, tenant_id, 1, matched_at, 40000, last_status, last_error
         FROM deliveries WHERE matched_at >= {from} AND matched_at < {from} + interval '1 day'",
        from = midnight(day),
    )
}

/// The beginning of the day that is so many days before today.
fn midnight(days_ago: usize) -> String {
    format!("(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '{days_ago} days')")
}

/// Days of every endpoint, hours of the busy ones; both, and the last days' minutes, of tenants and the deployment.
fn counts(size: Size) -> String {
    let Size { endpoints, counted, .. } = size;
    let busy = endpoints / BUSY_SHARE;
    let latency = hex(&typical(40_000));
    let delivery_time = hex(&typical(55));
    let columns = "grain, tenant_id, endpoint_id, event_type, bucket, attempts, failed_attempts, delivered, failed,
         cancelled, skipped, errors, latency, delivery_time";
    let histograms = format!("'\\x{latency}'::bytea, '\\x{delivery_time}'::bytea");
    let value = |share: &str, failing: &str| {
        format!(
            "ceil(({share}) * 1.03)::bigint, {failing}, ceil({share})::bigint, {failing} / 3, 0, 0,
             json_build_object('timeout', {failing}), {histograms}"
        )
    };
    // By the same law as the rows: so many fall to the number-th of all.
    let per_day =
        format!("{counted}.0 / {DAYS} / {endpoints} / 3 * power((number + 1)::float8 / {endpoints}, -0.6667)");
    // Every tenth endpoint fails now and then.
    let failing = "CASE WHEN number % 10 = 3 THEN 1 + number % 7 ELSE 0 END";
    let hourly = format!("({per_day}) / 24");
    let mut sql = format!(
        "INSERT INTO rollups ({columns})
         SELECT 'day', tenant_id, id, 'order.' || number, {today} - days * interval '1 day', {of_day}
         FROM bench_endpoints CROSS JOIN generate_series(0, {last_day}) AS days;
         INSERT INTO rollups ({columns})
         SELECT 'hour', tenant_id, id, 'order.' || number, {today} + interval '23 hours' - hours * interval '1 hour', {of_hour}
         FROM bench_endpoints CROSS JOIN generate_series(0, {last_hour}) AS hours WHERE number < {busy};",
        today = midnight(0),
        last_day = DAYS - 1,
        last_hour = DAYS * 24 - 1,
        of_day = value(&per_day, failing),
        of_hour = value(&hourly, failing),
    );
    for (grain, unit, steps, tenant) in [
        ("day", "1 day", DAYS, "tenant_id"),
        ("hour", "1 hour", DAYS * 24, "tenant_id"),
        ("minute", "1 minute", 2 * 24 * 60, "''"),
        ("day", "1 day", DAYS, "''"),
        ("hour", "1 hour", DAYS * 24, "''"),
    ] {
        let share = "total.share";
        write!(
            sql,
            "INSERT INTO rollups ({columns})
             SELECT '{grain}', total.tenant_id, '', '', {today} + interval '1 day' - (steps + 1) * interval '{unit}', {of_step}
             FROM (SELECT {tenant} AS tenant_id, sum({per_day}) * {DAYS} / {steps} AS share, 3 AS few
                   FROM bench_endpoints GROUP BY 1) AS total
             CROSS JOIN generate_series(0, {last}) AS steps;",
            today = midnight(0),
            last = steps - 1,
            of_step = value(share, "total.few"),
        )
        .expect("a String takes any text");
    }
    sql
}

/// How long things take: mostly this, sometimes much longer.
fn typical(usual: u64) -> Histogram {
    let mut histogram = Histogram::default();
    for number in 0..1_000_u64 {
        let spread = usual / 2 + usual * (number * 7_919 % 1_000) / 1_000;
        histogram.record(if number.is_multiple_of(50) { spread * 20 } else { spread });
    }
    histogram
}

fn hex(histogram: &Histogram) -> String {
    histogram.to_bytes().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}
