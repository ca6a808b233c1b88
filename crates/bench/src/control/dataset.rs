//! A month of deliveries: rows of the log, and what a longer past was counted as. Few endpoints have most of them.
//!
//! Made by Postgres itself, a partition at a time: filled first, then given its parent's indexes, then attached.

use super::counts;
use super::plane::Plane;

/// The days that there is something of, today included.
pub const DAYS: usize = 30;
/// The days of which deliveries still wait.
const PENDING_DAYS: usize = 2;
/// What a tenant of the usual size subscribes to, and how many such sets there are.
const TYPES_PER_SET: usize = 20;
const SETS_OF_TYPES: usize = 10;
/// What is vacuumed and analysed once it is there, as autovacuum would have by then.
const TABLES: [&str; 10] = [
    "deliveries",
    "delivery_attempts",
    "rollups",
    "dead_letters",
    "endpoint_activity",
    "endpoints",
    "endpoint_secrets",
    "subscriptions",
    "audit_log",
    "audit_chain",
];

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Endpoints.
    pub endpoints: usize,
    /// Rows of the log.
    pub deliveries: usize,
    /// Deliveries that were counted.
    pub counted: usize,
}

/// The event type of an endpoint: tenants next to each other share few.
pub fn event_type(number: usize) -> String {
    format!("order.{}", number / 100 % SETS_OF_TYPES * TYPES_PER_SET + number % TYPES_PER_SET)
}

/// Makes it, for the endpoints that there are.
pub async fn fill(plane: &Plane, size: Size) -> anyhow::Result<()> {
    plane.sql(FILL_PARTITION).await?;
    plane.sql(NUMBERED_ENDPOINTS).await?;
    let per_day = size.deliveries / DAYS;
    // Two at a time, as there are cores.
    let half = |first: usize| async move {
        for day in (first..DAYS).step_by(2) {
            plane.sql(&partition("deliveries", day, &deliveries(day, per_day, size.endpoints))).await?;
            plane.sql(&partition("delivery_attempts", day, &attempts(day))).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(half(0), half(1))?;
    println!("  {} deliveries, with their attempts", per_day * DAYS);
    let few = async {
        plane.sql(DEAD_LETTERS).await?;
        plane.sql(ACTIVITY).await
    };
    tokio::try_join!(few, counts::fill(plane, size))?;
    println!("  counts of {} deliveries", size.counted);
    plane.sql(&coming_partitions()).await?;
    let vacuumed = |first: usize| async move {
        for table in TABLES.iter().skip(first).step_by(2) {
            plane.sql(&format!("VACUUM ANALYZE {table}")).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(vacuumed(0), vacuumed(1))?;
    Ok(())
}

/// Makes a partition of `parent` that has `rows`: columns and a SELECT, in which `$1` is when the partition begins and
/// `$2` when it ends. As the product makes it, but that it has rows before it has indexes.
const FILL_PARTITION: &str = r"
    CREATE FUNCTION bench_fill(parent text, starts timestamptz, rows text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        made  text := partition_name(parent, starts);
        ends  timestamptz;
        added text;
    BEGIN
        SELECT (starts AT TIME ZONE 'UTC' + ('1 ' || step)::interval) AT TIME ZONE 'UTC' INTO STRICT ends
        FROM kept_by_time WHERE name = parent;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', made, parent);
        EXECUTE format('INSERT INTO %I %s', made, rows) USING starts, ends;
        FOR added IN
            SELECT CASE WHEN indisprimary
                THEN format('ALTER TABLE %I ADD %s', made, (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conindid = indexrelid))
                ELSE regexp_replace(pg_get_indexdef(indexrelid), '^CREATE INDEX \S+ ON ONLY \S+', format('CREATE INDEX ON %I', made)) END
            FROM pg_index WHERE indrelid = parent::regclass
        LOOP
            EXECUTE added;
        END LOOP;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', made);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, made, starts, ends);
    END
    $$";

/// Endpoints by the number that they were made with: the lower the busier.
const NUMBERED_ENDPOINTS: &str = "
    CREATE TABLE bench_endpoints AS
        SELECT split_part(endpoints.name, ' ', 2)::bigint AS number, endpoints.id, endpoints.tenant_id,
            subscriptions.id AS subscription_id, subscriptions.event_types[1] AS event_type
        FROM endpoints JOIN subscriptions ON subscriptions.endpoint_id = endpoints.id
        ORDER BY 1;
    ALTER TABLE bench_endpoints ADD PRIMARY KEY (number);
    ANALYZE bench_endpoints";

/// The statement that makes the partition of a day.
fn partition(parent: &str, day: usize, rows: &str) -> String {
    format!("SELECT bench_fill('{parent}', {}, $rows${rows}$rows$)::text", midnight(day))
}

/// The deliveries of one day, in the order of time: 96 of 100 delivered, the others failed; of the last days some wait
/// for another try.
fn deliveries(day: usize, per_day: usize, endpoints: usize) -> String {
    let first = day * per_day;
    let last = first + per_day - 1;
    let retried = if day < PENDING_DAYS { "made.fate >= 0.99" } else { "false" };
    format!(
        "(message_id, run, tenant_id, endpoint_id, subscription_id, event_id, event_type, kind, source_topic,
             source_partition, source_offset, status, rank, attempt, last_status, last_error, next_attempt_at,
             matched_at, updated_at, payload_topic, payload_partition, payload_offset)
         SELECT 'msg_' || substr(md5('m' || made.number), 1, 26), '0', owner.tenant_id, owner.id, owner.subscription_id,
             'at,orders,6:orders,0,' || made.number, owner.event_type, 'live', 'orders', 0, made.number,
             CASE WHEN made.fate < 0.96 THEN 'delivered' WHEN {retried} THEN 'retrying' ELSE 'failed' END,
             CASE WHEN made.fate < 0.96 THEN 5 WHEN {retried} THEN 2 ELSE 3 END,
             1,
             CASE WHEN made.fate < 0.96 THEN 200 WHEN made.fate < 0.98 THEN 503 END,
             CASE WHEN made.fate < 0.96 THEN NULL WHEN made.fate < 0.98 THEN 'http_server_error' ELSE 'timeout' END,
             CASE WHEN {retried} THEN made.at + interval '5 minutes' END, made.at, made.at,
             'control.deliveries', made.number % 6, made.number / 6
         FROM (
             SELECT number, floor({endpoints} * power(random(), 3))::bigint AS owner, random() AS fate,
                 $1 + ($2 - $1) * ((number - {first} + 0.5) / {per_day}) AS at
             FROM generate_series({first}, {last}) AS number
         ) AS made JOIN bench_endpoints AS owner ON owner.number = made.owner"
    )
}

/// An attempt for each of a day's deliveries, with what a request and an answer usually have.
fn attempts(day: usize) -> String {
    let requested = r#"[["content-type","application/json"],["webhook-id","msg_4kq2x9vq3m7k8n5p4r6s0t1w2z"],["webhook-timestamp","1769860800"],["webhook-signature","v1,********"],["webhook-attempt","1"]]"#;
    let answered = r#"[["content-type","text/plain"],["content-length","2"],["date","Sat, 31 Jan 2026 12:00:00 GMT"]]"#;
    format!(
        "(message_id, run, log_partition, log_offset, tenant_id, attempt, started_at, duration_us, status, error,
             response_excerpt, request_headers, response_headers, wait_us)
         SELECT message_id, run, 0, source_offset, tenant_id, 1, matched_at, 40000, last_status, last_error,
             CASE WHEN last_status IS NOT NULL THEN 'ok' END, '{requested}',
             CASE WHEN last_status IS NOT NULL THEN '{answered}'::json END, 39000
         FROM deliveries WHERE matched_at >= {from} AND matched_at < {from} + interval '1 day'",
        from = midnight(day),
    )
}

/// What failed for good.
const DEAD_LETTERS: &str = "
    INSERT INTO dead_letters (message_id, run, tenant_id, endpoint_id, event_id, event_type, attempts, error, last_status,
        matched_at, first_attempt_at, died_at, body_bytes, log_partition, log_offset, state)
    SELECT message_id, run, tenant_id, endpoint_id, event_id, event_type, attempt, last_error, last_status, matched_at,
        matched_at, updated_at, 900, 0, source_offset, 'open'
    FROM deliveries WHERE status = 'failed'";

/// What each endpoint has come to.
const ACTIVITY: &str = "
    INSERT INTO endpoint_activity (endpoint_id, tenant_id, attempts, delivered, dead_lettered, last_attempt_at,
        last_success_at, weighed_at, hour_tries, hour_successes, hour_answers, hour_latency, week_tries, week_successes,
        week_answers, week_latency)
    SELECT id, tenant_id, 1000, 960, 30, now(), now(), now(), 10, 9, 9, 35, 200, 190, 190, 700 FROM bench_endpoints";

/// The beginning of the day that is so many days before today.
pub fn midnight(days_ago: usize) -> String {
    format!("(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '{days_ago} days')")
}

/// What else a process would find: the partitions of the days before and of the next ones.
fn coming_partitions() -> String {
    let of = |table: &str| {
        format!(
            "SELECT make_partition('{table}', starts)::text FROM missing_partitions('{table}', now() - interval '32 days',
                 now() - interval '32 days', now() + interval '2 days') AS starts;"
        )
    };
    ["deliveries", "delivery_attempts", "rollup_minutes", "rollup_hours", "rollup_days"].map(of).concat()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tenants_have_few_event_types_and_the_deployment_has_more() {
        let of = |numbers: std::ops::Range<usize>| numbers.map(event_type).collect::<HashSet<_>>().len();
        assert_eq!((of(0..100), of(100..200), of(0..10_000)), (20, 20, 200));
    }
}
