//! What was counted and not yet added up.

use chrono::{DateTime, Utc};
use postrider_domain::{EndpointId, TenantId, Timestamp, tally::Tally};
use sqlx::{Error, PgConnection};

use super::row::{Columns, StoredTally};

/// What was counted of one endpoint and event type in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Whose endpoint.
    pub tenant: TenantId,
    /// Which.
    pub endpoint: EndpointId,
    /// The type; empty where it is not known.
    pub event_type: String,
    /// When the minute begins.
    pub minute: Timestamp,
    /// What was counted.
    pub tally: Tally,
}

/// Adds counts, in the transaction that writes what was counted.
pub async fn insert_deltas(conn: &mut PgConnection, deltas: &[Delta]) -> Result<(), Error> {
    if deltas.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(deltas.iter().map(|delta| &delta.tally));
    sqlx::query!(
        "INSERT INTO rollup_deltas (tenant_id, endpoint_id, event_type, minute, attempts, failed_attempts, delivered,
             failed, cancelled, skipped, errors, latency, delivery_time)
         SELECT tenant_id, endpoint_id, event_type, minute, attempts, failed_attempts, delivered, failed, cancelled,
             skipped, errors::json, latency, delivery_time
         FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::bytea[], $13::bytea[])
             AS new (tenant_id, endpoint_id, event_type, minute, attempts, failed_attempts, delivered, failed,
             cancelled, skipped, errors, latency, delivery_time)",
        &deltas.iter().map(|delta| delta.tenant.as_str()).collect::<Vec<_>>() as &[&str],
        &deltas.iter().map(|delta| delta.endpoint.as_str()).collect::<Vec<_>>() as &[&str],
        &deltas.iter().map(|delta| delta.event_type.as_str()).collect::<Vec<_>>() as &[&str],
        &deltas.iter().map(|delta| delta.minute.to_datetime()).collect::<Vec<_>>(),
        &columns.attempts,
        &columns.failed_attempts,
        &columns.delivered,
        &columns.failed,
        &columns.cancelled,
        &columns.skipped,
        &columns.errors,
        &columns.latency,
        &columns.delivery_time,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the oldest counts out, at most `limit`, in the transaction that adds them up.
pub async fn take_deltas(conn: &mut PgConnection, limit: i64) -> Result<Vec<Delta>, Error> {
    let rows = sqlx::query_as!(
        StoredDelta,
        r#"DELETE FROM rollup_deltas WHERE id = ANY(ARRAY(SELECT id FROM rollup_deltas ORDER BY id LIMIT $1))
           RETURNING tenant_id, endpoint_id, event_type, minute, attempts, failed_attempts, delivered, failed, cancelled,
               skipped, errors::text AS "errors!", latency, delivery_time"#,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredDelta::decode).collect()
}

/// A row of `rollup_deltas` as Postgres has it.
struct StoredDelta {
    tenant_id: String,
    endpoint_id: String,
    event_type: String,
    minute: DateTime<Utc>,
    attempts: i64,
    failed_attempts: i64,
    delivered: i64,
    failed: i64,
    cancelled: i64,
    skipped: i64,
    errors: String,
    latency: Vec<u8>,
    delivery_time: Vec<u8>,
}

impl StoredDelta {
    fn decode(self) -> Result<Delta, Error> {
        let tally = StoredTally {
            attempts: self.attempts,
            failed_attempts: self.failed_attempts,
            delivered: self.delivered,
            failed: self.failed,
            cancelled: self.cancelled,
            skipped: self.skipped,
            errors: self.errors,
            latency: self.latency,
            delivery_time: self.delivery_time,
        };
        Ok(Delta {
            tenant: TenantId::from_trusted(self.tenant_id),
            endpoint: EndpointId::from_trusted(self.endpoint_id),
            event_type: self.event_type,
            minute: Timestamp::from_datetime(self.minute),
            tally: tally.decode()?,
        })
    }
}
