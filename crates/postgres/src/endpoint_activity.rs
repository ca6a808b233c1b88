//! Tables `endpoint_activity` and `endpoint_condition`: what came of the deliveries to each endpoint, and what the data
//! plane remembers of those that fail. Written by the projector, in the transaction of the log.

use std::collections::HashSet;

use postrider_domain::{
    EndpointId, TenantId, Timestamp,
    breaker::BreakerSnapshot,
    failing::FailureRecord,
    health::{Activity, Condition, Weighed},
};
use sqlx::{Error, PgConnection};

use crate::delivery_log::column;

/// What came of the deliveries to an endpoint. In an addition: of some of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityRow {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its tenant.
    pub tenant: TenantId,
    /// How many attempts were made.
    pub attempts: i64,
    /// How many deliveries were delivered.
    pub delivered: i64,
    /// How many went to the dead-letter queue.
    pub dead_lettered: i64,
    /// When the last attempt ended.
    pub last_attempt_at: Timestamp,
    /// When the last one that succeeded did.
    pub last_success_at: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<LastError>,
    /// All of them, the recent ones weighing more.
    pub weighed: Activity,
}

/// The last failure of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When it ended.
    pub at: Timestamp,
    /// Its error class.
    pub class: String,
    /// The status of the answer, if there was one.
    pub status: Option<i32>,
    /// In words.
    pub message: Option<String>,
}

/// A record of `SELECT *`.
struct Record {
    endpoint_id: String,
    tenant_id: String,
    attempts: i64,
    delivered: i64,
    dead_lettered: i64,
    last_attempt_at: chrono::DateTime<chrono::Utc>,
    last_success_at: Option<chrono::DateTime<chrono::Utc>>,
    last_error_at: Option<chrono::DateTime<chrono::Utc>>,
    last_error: Option<String>,
    last_error_status: Option<i32>,
    last_error_message: Option<String>,
    weighed_at: chrono::DateTime<chrono::Utc>,
    hour_tries: f64,
    hour_successes: f64,
    hour_answers: f64,
    hour_latency: f64,
    week_tries: f64,
    week_successes: f64,
    week_answers: f64,
    week_latency: f64,
}

impl From<Record> for ActivityRow {
    fn from(record: Record) -> Self {
        let last_error = record.last_error.zip(record.last_error_at).map(|(class, at)| LastError {
            at: Timestamp::from_datetime(at),
            class,
            status: record.last_error_status,
            message: record.last_error_message,
        });
        Self {
            endpoint: EndpointId::from_trusted(record.endpoint_id),
            tenant: TenantId::from_trusted(record.tenant_id),
            attempts: record.attempts,
            delivered: record.delivered,
            dead_lettered: record.dead_lettered,
            last_attempt_at: Timestamp::from_datetime(record.last_attempt_at),
            last_success_at: record.last_success_at.map(Timestamp::from_datetime),
            last_error,
            weighed: Activity {
                at: Timestamp::from_datetime(record.weighed_at),
                hour: Weighed {
                    tries: record.hour_tries,
                    successes: record.hour_successes,
                    answers: record.hour_answers,
                    latency: record.hour_latency,
                },
                week: Weighed {
                    tries: record.week_tries,
                    successes: record.week_successes,
                    answers: record.week_answers,
                    latency: record.week_latency,
                },
            },
        }
    }
}

/// What came of the deliveries to some of a tenant's endpoints; those that nothing was sent to are left out.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoints: &[&EndpointId],
) -> Result<Vec<ActivityRow>, Error> {
    let ids: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    let records = sqlx::query_as!(
        Record,
        "SELECT endpoint_id, tenant_id, attempts, delivered, dead_lettered, last_attempt_at, last_success_at,
             last_error_at, last_error, last_error_status, last_error_message, weighed_at, hour_tries, hour_successes,
             hour_answers, hour_latency, week_tries, week_successes, week_answers, week_latency
         FROM endpoint_activity WHERE tenant_id = $1 AND endpoint_id = ANY($2)",
        tenant.as_str(),
        &ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(Into::into).collect())
}

/// What came of the deliveries to one of a tenant's endpoints; none if nothing was sent to it.
pub async fn get(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
) -> Result<Option<ActivityRow>, Error> {
    Ok(list(conn, tenant, &[endpoint]).await?.pop())
}

/// Adds what came of further deliveries, at most one row for each endpoint, in the order of their ids: so two that add
/// wait for each other in one order. Of endpoints that are gone nothing is kept.
///
/// Nearly every endpoint has its row, so those are looked for first: to try to insert what is there costs three times as
/// much.
pub async fn add(conn: &mut PgConnection, rows: &[ActivityRow]) -> Result<(), Error> {
    debug_assert!(rows.is_sorted_by(|a, b| a.endpoint < b.endpoint), "each endpoint once, in order");
    let all: Vec<&ActivityRow> = rows.iter().collect();
    let known = add_to_known(conn, &all).await?;
    let new: Vec<&ActivityRow> = rows.iter().filter(|row| !known.contains(row.endpoint.as_str())).collect();
    if !new.is_empty() {
        insert_empty(conn, &new).await?;
        add_to_known(conn, &new).await?;
    }
    Ok(())
}

/// Adds to the rows that there are. Answers whose these are.
async fn add_to_known(conn: &mut PgConnection, rows: &[&ActivityRow]) -> Result<HashSet<String>, Error> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let error = |row: &ActivityRow| row.last_error.clone();
    let known = sqlx::query_scalar!(
        "UPDATE endpoint_activity AS stored SET
             attempts = stored.attempts + added.attempts,
             delivered = stored.delivered + added.delivered,
             dead_lettered = stored.dead_lettered + added.dead_lettered,
             last_attempt_at = GREATEST(stored.last_attempt_at, added.last_attempt_at),
             last_success_at = GREATEST(stored.last_success_at, added.last_success_at),
             last_error_at = GREATEST(stored.last_error_at, added.last_error_at),
             last_error = CASE WHEN added.last_error_at >= COALESCE(stored.last_error_at, added.last_error_at)
                 THEN added.last_error ELSE stored.last_error END,
             last_error_status = CASE WHEN added.last_error_at >= COALESCE(stored.last_error_at, added.last_error_at)
                 THEN added.last_error_status ELSE stored.last_error_status END,
             last_error_message = CASE WHEN added.last_error_at >= COALESCE(stored.last_error_at, added.last_error_at)
                 THEN added.last_error_message ELSE stored.last_error_message END,
             weighed_at = GREATEST(stored.weighed_at, added.weighed_at),
             hour_tries = weighed(stored.hour_tries, added.weighed_at - stored.weighed_at, '1 hour')
                 + weighed(added.hour_tries, stored.weighed_at - added.weighed_at, '1 hour'),
             hour_successes = weighed(stored.hour_successes, added.weighed_at - stored.weighed_at, '1 hour')
                 + weighed(added.hour_successes, stored.weighed_at - added.weighed_at, '1 hour'),
             hour_answers = weighed(stored.hour_answers, added.weighed_at - stored.weighed_at, '1 hour')
                 + weighed(added.hour_answers, stored.weighed_at - added.weighed_at, '1 hour'),
             hour_latency = weighed(stored.hour_latency, added.weighed_at - stored.weighed_at, '1 hour')
                 + weighed(added.hour_latency, stored.weighed_at - added.weighed_at, '1 hour'),
             week_tries = weighed(stored.week_tries, added.weighed_at - stored.weighed_at, '168 hours')
                 + weighed(added.week_tries, stored.weighed_at - added.weighed_at, '168 hours'),
             week_successes = weighed(stored.week_successes, added.weighed_at - stored.weighed_at, '168 hours')
                 + weighed(added.week_successes, stored.weighed_at - added.weighed_at, '168 hours'),
             week_answers = weighed(stored.week_answers, added.weighed_at - stored.weighed_at, '168 hours')
                 + weighed(added.week_answers, stored.weighed_at - added.weighed_at, '168 hours'),
             week_latency = weighed(stored.week_latency, added.weighed_at - stored.weighed_at, '168 hours')
                 + weighed(added.week_latency, stored.weighed_at - added.weighed_at, '168 hours')
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
             $7::timestamptz[], $8::text[], $9::integer[], $10::text[], $11::timestamptz[], $12::float8[],
             $13::float8[], $14::float8[], $15::float8[], $16::float8[], $17::float8[], $18::float8[], $19::float8[])
             AS added (endpoint_id, attempts, delivered, dead_lettered, last_attempt_at, last_success_at,
             last_error_at, last_error, last_error_status, last_error_message, weighed_at, hour_tries,
             hour_successes, hour_answers, hour_latency, week_tries, week_successes, week_answers, week_latency)
         WHERE stored.endpoint_id = added.endpoint_id
         RETURNING stored.endpoint_id",
        &column(rows, |row| row.endpoint.as_str()) as &[&str],
        &column(rows, |row| row.attempts),
        &column(rows, |row| row.delivered),
        &column(rows, |row| row.dead_lettered),
        &column(rows, |row| row.last_attempt_at.to_datetime()),
        &column(rows, |row| row.last_success_at.map(Timestamp::to_datetime)) as _,
        &column(rows, |row| error(row).map(|error| error.at.to_datetime())) as _,
        &column(rows, |row| error(row).map(|error| error.class)) as _,
        &column(rows, |row| error(row).and_then(|error| error.status)) as _,
        &column(rows, |row| error(row).and_then(|error| error.message)) as _,
        &column(rows, |row| row.weighed.at.to_datetime()),
        &column(rows, |row| row.weighed.hour.tries),
        &column(rows, |row| row.weighed.hour.successes),
        &column(rows, |row| row.weighed.hour.answers),
        &column(rows, |row| row.weighed.hour.latency),
        &column(rows, |row| row.weighed.week.tries),
        &column(rows, |row| row.weighed.week.successes),
        &column(rows, |row| row.weighed.week.answers),
        &column(rows, |row| row.weighed.week.latency),
    )
    .fetch_all(conn)
    .await?;
    Ok(known.into_iter().collect())
}

/// Makes rows that say that nothing happened yet, for endpoints that have none.
async fn insert_empty(conn: &mut PgConnection, rows: &[&ActivityRow]) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO endpoint_activity (endpoint_id, tenant_id, attempts, delivered, dead_lettered, last_attempt_at,
             weighed_at, hour_tries, hour_successes, hour_answers, hour_latency, week_tries, week_successes,
             week_answers, week_latency)
         SELECT endpoint_id, tenant_id, 0, 0, 0, last_attempt_at, weighed_at, 0, 0, 0, 0, 0, 0, 0, 0
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
             AS new (endpoint_id, tenant_id, last_attempt_at, weighed_at)
         WHERE EXISTS (SELECT 1 FROM endpoints WHERE id = new.endpoint_id AND tenant_id = new.tenant_id)
         ORDER BY endpoint_id
         ON CONFLICT DO NOTHING",
        &column(rows, |row| row.endpoint.as_str()) as &[&str],
        &column(rows, |row| row.tenant.as_str()) as &[&str],
        &column(rows, |row| row.last_attempt_at.to_datetime()),
        &column(rows, |row| row.weighed.at.to_datetime()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what the data plane remembers of an endpoint, unless that is gone.
pub async fn set_condition(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    condition: &Condition,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO endpoint_condition (endpoint_id, tenant_id, failing_since, failures, breaker_opens,
             breaker_open_until)
         SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM endpoints WHERE id = $1 AND tenant_id = $2)
         ON CONFLICT (endpoint_id) DO UPDATE SET failing_since = excluded.failing_since,
             failures = excluded.failures, breaker_opens = excluded.breaker_opens,
             breaker_open_until = excluded.breaker_open_until",
        endpoint.as_str(),
        tenant.as_str(),
        condition.failing.since.map(Timestamp::to_datetime),
        i64::from(condition.failing.failures),
        condition.breaker.map_or(0, |breaker| i64::from(breaker.opens)),
        condition.breaker.map(|breaker| breaker.open_until.to_datetime()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what the data plane remembered of an endpoint. By its id alone: a tombstone names no tenant.
pub async fn clear_condition(conn: &mut PgConnection, endpoint: &EndpointId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM endpoint_condition WHERE endpoint_id = $1", endpoint.as_str()).execute(conn).await?;
    Ok(())
}

/// What the data plane remembers of an endpoint.
pub async fn condition(conn: &mut PgConnection, tenant: &TenantId, endpoint: &EndpointId) -> Result<Condition, Error> {
    let record = sqlx::query!(
        "SELECT failing_since, failures, breaker_opens, breaker_open_until FROM endpoint_condition
         WHERE tenant_id = $1 AND endpoint_id = $2",
        tenant.as_str(),
        endpoint.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    let count = |column: i64| u32::try_from(column).unwrap_or(u32::MAX);
    Ok(record.map_or_else(Condition::default, |record| Condition {
        failing: FailureRecord {
            since: record.failing_since.map(Timestamp::from_datetime),
            failures: count(record.failures),
        },
        breaker: record.breaker_open_until.map(|open_until| BreakerSnapshot {
            opens: count(record.breaker_opens),
            open_until: Timestamp::from_datetime(open_until),
        }),
    }))
}

/// Forgets all that is known of endpoints of a tenant: of one, or of all.
pub async fn delete(conn: &mut PgConnection, tenant: &TenantId, endpoint: Option<&EndpointId>) -> Result<(), Error> {
    let endpoint = endpoint.map(EndpointId::as_str);
    sqlx::query!(
        "WITH activity AS (DELETE FROM endpoint_activity
             WHERE tenant_id = $1 AND ($2::text IS NULL OR endpoint_id = $2))
         DELETE FROM endpoint_condition WHERE tenant_id = $1 AND ($2::text IS NULL OR endpoint_id = $2)",
        tenant.as_str(),
        endpoint,
    )
    .execute(conn)
    .await?;
    Ok(())
}
