//! Ranges of held deliveries that ended together.

use postrider_domain::{
    Timestamp,
    delivery_event::{HeldRange, RangeReason},
};
use sqlx::{Error, PgConnection};

use super::{DeliveryRow, write::column};

/// The key of the advisory lock that keeps a range and a delivery that is held in it from missing each other
/// ("postheld" in ASCII).
const LOCK: i64 = 0x706f_7374_6865_6c64;

/// The most old ranges that are forgotten at once.
const MAX_FORGOTTEN: i64 = 1_000;

/// Waits until nobody writes a range, and keeps everybody from it until the transaction ends. Whoever writes
/// deliveries takes this before the first row: a range looks for the deliveries in it, and a delivery for the ranges
/// that it is in, and two transactions at once would see nothing of each other.
pub async fn lock_out_ranges(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock_shared($1)", LOCK).execute(conn).await?;
    Ok(())
}

/// Waits until nobody writes deliveries, and keeps everybody from it until the transaction ends. Whoever writes a range
/// takes this before the first row.
pub async fn lock_out_deliveries(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(conn).await?;
    Ok(())
}

/// Keeps `ranges` and ends the deliveries that are held in them. A delivery ended so keeps its rank: the range only
/// says that it ended, and what else is known of the same attempt knows better.
pub async fn end_ranges(conn: &mut PgConnection, ranges: &[HeldRange]) -> Result<(), Error> {
    if ranges.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "WITH ranges AS (
             INSERT INTO held_ranges AS stored (tenant_id, endpoint_id, held_partition, from_offset, to_offset, reason,
                 ended_at)
             SELECT DISTINCT ON (endpoint_id, held_partition, from_offset, to_offset) *
             FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::text[],
                 $7::timestamptz[])
                 AS new (tenant_id, endpoint_id, held_partition, from_offset, to_offset, reason, ended_at)
             ORDER BY endpoint_id, held_partition, from_offset, to_offset, ended_at DESC
             ON CONFLICT (endpoint_id, held_partition, from_offset, to_offset) DO UPDATE SET
                 reason = excluded.reason,
                 ended_at = greatest(stored.ended_at, excluded.ended_at)
             RETURNING *
         )
         UPDATE deliveries AS held SET
             status = CASE ranges.reason WHEN 'skipped' THEN 'skipped' ELSE 'cancelled' END,
             next_attempt_at = NULL,
             updated_at = greatest(held.updated_at, ranges.ended_at)
         FROM ranges
         WHERE held.status = 'held'
             AND held.endpoint_id = ranges.endpoint_id
             AND held.tenant_id = ranges.tenant_id
             AND held.held_partition = ranges.held_partition
             AND held.held_offset >= ranges.from_offset
             AND held.held_offset < ranges.to_offset",
        &column(ranges, |range| range.tenant.as_str()) as &[&str],
        &column(ranges, |range| range.endpoint.as_str()) as &[&str],
        &column(ranges, |range| range.partition),
        &column(ranges, |range| range.from),
        &column(ranges, |range| range.to),
        &column(ranges, |range| reason_text(range.reason)) as &[&str],
        &column(ranges, |range| range.at.to_datetime()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends those of `rows` that are held in a range that was kept before: what says that they are held came late.
///
/// Not those held a minute after the range ended: where the topic was made anew, others stand at its coordinates.
pub async fn end_late(conn: &mut PgConnection, rows: &[DeliveryRow]) -> Result<(), Error> {
    let held: Vec<&DeliveryRow> = rows.iter().filter(|row| row.held.is_some()).collect();
    if held.is_empty() {
        return Ok(());
    }
    let runs: Vec<String> = held.iter().map(|row| row.run.to_string()).collect();
    sqlx::query!(
        "UPDATE deliveries AS held SET
             status = CASE ranges.reason WHEN 'skipped' THEN 'skipped' ELSE 'cancelled' END,
             next_attempt_at = NULL,
             updated_at = greatest(held.updated_at, ranges.ended_at)
         FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS late (message_id, run, matched_at),
             held_ranges AS ranges
         WHERE held.message_id = late.message_id
             AND held.run = late.run
             AND held.matched_at BETWEEN late.matched_at - interval '2 days' AND late.matched_at + interval '2 days'
             AND held.status = 'held'
             AND ranges.endpoint_id = held.endpoint_id
             AND ranges.tenant_id = held.tenant_id
             AND ranges.held_partition = held.held_partition
             AND ranges.from_offset <= held.held_offset
             AND ranges.to_offset > held.held_offset
             AND ranges.ended_at + interval '1 minute' >= held.updated_at",
        &column(&held, |row| row.message_id.as_str()) as &[&str],
        &runs,
        &column(&held, |row| row.matched_at.to_datetime()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets ranges that ended before `before`, the oldest first, at most 1,000.
pub async fn forget_ranges(conn: &mut PgConnection, before: Timestamp) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM held_ranges WHERE (endpoint_id, held_partition, from_offset, to_offset) IN (
             SELECT endpoint_id, held_partition, from_offset, to_offset FROM held_ranges
             WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)",
        before.to_datetime(),
        MAX_FORGOTTEN,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How a reason is stored.
fn reason_text(reason: RangeReason) -> &'static str {
    match reason {
        RangeReason::Skipped => "skipped",
        RangeReason::EndpointDeleted => "endpoint_deleted",
    }
}
