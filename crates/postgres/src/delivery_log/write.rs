//! Writing the log, a batch at a time.

use chrono::{DateTime, Utc};
use postrider_domain::{DeliveryKind, Timestamp, delivery::Header};
use sqlx::{Error, PgConnection};

use super::{AttemptRow, DeliveryRow, read::known_runs};
use crate::json_text;

/// Adds attempts; one that is there already is left as it is.
pub async fn insert_attempts(conn: &mut PgConnection, attempts: &[AttemptRow]) -> Result<(), Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    let runs: Vec<String> = attempts.iter().map(|row| row.run.to_string()).collect();
    let sent: Vec<Option<String>> = attempts.iter().map(|row| headers_text(&row.request_headers)).collect();
    let got: Vec<Option<String>> = attempts.iter().map(|row| headers_text(&row.response_headers)).collect();
    sqlx::query!(
        "INSERT INTO delivery_attempts (message_id, run, log_partition, log_offset, tenant_id, attempt, started_at,
             duration_us, status, error, error_message, response_excerpt, request_headers, response_headers, dns_us,
             connect_us, tls_us, wait_us)
         SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::text[], $6::integer[],
             $7::timestamptz[], $8::bigint[], $9::integer[], $10::text[], $11::text[], $12::text[],
             $13::text[]::json[], $14::text[]::json[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
         ON CONFLICT DO NOTHING",
        &column(attempts, |row| row.message_id.as_str()) as &[&str],
        &runs,
        &column(attempts, |row| row.log_partition),
        &column(attempts, |row| row.log_offset),
        &column(attempts, |row| row.tenant.as_str()) as &[&str],
        &column(attempts, |row| row.attempt),
        &column(attempts, |row| row.started_at.to_datetime()),
        &column(attempts, |row| row.duration_us),
        &column(attempts, |row| row.status) as &[Option<i32>],
        &column(attempts, |row| row.error.as_deref()) as &[Option<&str>],
        &column(attempts, |row| row.error_message.as_deref()) as &[Option<&str>],
        &column(attempts, |row| row.response_excerpt.as_deref()) as &[Option<&str>],
        &sent as &[Option<String>],
        &got as &[Option<String>],
        &column(attempts, |row| row.phases.dns_us) as &[Option<i64>],
        &column(attempts, |row| row.phases.connect_us) as &[Option<i64>],
        &column(attempts, |row| row.phases.tls_us) as &[Option<i64>],
        &column(attempts, |row| row.phases.wait_us) as &[Option<i64>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Brings the rows of deliveries forward; a row that is as far or farther is left as it is
/// ([`DeliveryRow::supersedes`], here in SQL). At most one row for each run of a message.
///
/// When a delivery was matched stays as it was first written: pages and partitions are cut by it. So the row that there
/// is of a run is looked for first ([`known_runs`]). A row that brings neither an answer nor a failure keeps those of the attempt before.
pub async fn upsert_deliveries(conn: &mut PgConnection, rows: &[DeliveryRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let known = known_runs(conn, &column(rows, |row| row)).await?;
    let matched_at = |row: &DeliveryRow| {
        let first = if known.is_empty() { None } else { known.get(&(row.message_id.clone(), row.run.clone())) };
        first.copied().unwrap_or(row.matched_at).to_datetime()
    };
    sqlx::query!(
        "INSERT INTO deliveries AS stored (message_id, run, tenant_id, endpoint_id, subscription_id, event_id,
             event_type, kind, source_topic, source_partition, source_offset, status, rank, attempt, last_status,
             last_error, next_attempt_at, matched_at, updated_at, held_partition, held_offset,
             last_error_message, payload_topic, payload_partition, payload_offset)
         SELECT *
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
             $7::text[], $8::text[], $9::text[], $10::integer[], $11::bigint[], $12::text[], $13::smallint[],
             $14::integer[], $15::integer[], $16::text[], $17::timestamptz[], $18::timestamptz[],
             $19::timestamptz[], $20::integer[], $21::bigint[], $22::text[], $23::text[], $24::integer[],
             $25::bigint[])
         ON CONFLICT (message_id, run, matched_at) DO UPDATE SET
             status = excluded.status,
             rank = excluded.rank,
             attempt = excluded.attempt,
             last_status = CASE WHEN excluded.last_status IS NULL AND excluded.last_error IS NULL
                 THEN stored.last_status ELSE excluded.last_status END,
             last_error = CASE WHEN excluded.last_status IS NULL AND excluded.last_error IS NULL
                 THEN stored.last_error ELSE excluded.last_error END,
             last_error_message = CASE WHEN excluded.last_status IS NULL AND excluded.last_error IS NULL
                 THEN stored.last_error_message ELSE excluded.last_error_message END,
             next_attempt_at = excluded.next_attempt_at,
             updated_at = excluded.updated_at,
             held_partition = excluded.held_partition,
             held_offset = excluded.held_offset,
             payload_topic = coalesce(excluded.payload_topic, stored.payload_topic),
             payload_partition = coalesce(excluded.payload_partition, stored.payload_partition),
             payload_offset = coalesce(excluded.payload_offset, stored.payload_offset)
         WHERE (excluded.attempt, excluded.rank, excluded.updated_at)
                 > (stored.attempt, stored.rank, stored.updated_at)
             OR (stored.status = 'retrying' AND stored.next_attempt_at IS NULL
                 AND excluded.updated_at > stored.updated_at)",
        &column(rows, |row| row.message_id.as_str()) as &[&str],
        &column(rows, |row| row.run.to_string()),
        &column(rows, |row| row.tenant.as_str()) as &[&str],
        &column(rows, |row| row.endpoint.as_str()) as &[&str],
        &column(rows, |row| row.subscription.as_str()) as &[&str],
        &column(rows, |row| row.event_id.as_str()) as &[&str],
        &column(rows, |row| row.event_type.as_str()) as &[&str],
        &column(rows, |row| kind_text(row.kind)) as &[&str],
        &column(rows, |row| &*row.source.topic) as &[&str],
        &column(rows, |row| row.source.partition),
        &column(rows, |row| row.source.offset),
        &column(rows, |row| row.status.as_str()) as &[&str],
        &column(rows, |row| row.rank),
        &column(rows, |row| row.attempt),
        &column(rows, |row| row.last_status) as &[Option<i32>],
        &column(rows, |row| row.last_error.as_deref()) as &[Option<&str>],
        &column(rows, |row| row.next_attempt_at.map(Timestamp::to_datetime)) as &[Option<DateTime<Utc>>],
        &column(rows, matched_at),
        &column(rows, |row| row.updated_at.to_datetime()),
        &column(rows, |row| row.held.map(|at| at.partition)) as &[Option<i32>],
        &column(rows, |row| row.held.map(|at| at.offset)) as &[Option<i64>],
        &column(rows, |row| row.last_error_message.as_deref()) as &[Option<&str>],
        &column(rows, |row| row.payload.as_ref().map(|at| &*at.topic)) as &[Option<&str>],
        &column(rows, |row| row.payload.as_ref().map(|at| at.partition)) as &[Option<i32>],
        &column(rows, |row| row.payload.as_ref().map(|at| at.offset)) as &[Option<i64>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How a kind is stored.
pub(super) fn kind_text(kind: DeliveryKind) -> &'static str {
    match kind {
        DeliveryKind::Live => "live",
        DeliveryKind::Test => "test",
    }
}

/// How headers are stored: as a list of pairs; none as null.
fn headers_text(headers: &[Header]) -> Option<String> {
    let pairs: Vec<(&str, &str)> = headers.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
    (!pairs.is_empty()).then(|| json_text(&pairs))
}

/// One column of `rows`.
pub(crate) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
