//! The rows, and tallies as they are stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postrider_domain::{
    EndpointId, ErrorClass, TenantId, Timestamp,
    histogram::{Histogram, InvalidHistogram},
    outcome::InvalidErrorClass,
    rollup::Grain,
    tally::Tally,
};
use sqlx::{Error, PgConnection};

use crate::{json_text, undecodable};

/// Which counts. In the order of the time that they cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RollupKey {
    /// How much time they cover.
    pub grain: Grain,
    /// When that time begins.
    pub bucket: Timestamp,
    /// Whose; none: everybody's.
    pub tenant: Option<TenantId>,
    /// Of which endpoint; none: of all.
    pub endpoint: Option<EndpointId>,
    /// Of which event type. Empty: of an endpoint, what ended without its type being told; of a tenant or all, the total.
    pub event_type: String,
}

impl RollupKey {
    /// The time that they cover: its length and its beginning. One partition has all counts of it.
    pub fn period(&self) -> (Grain, Timestamp) {
        (self.grain, self.bucket)
    }
}

/// Counts, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// Which.
    pub key: RollupKey,
    /// How much.
    pub tally: Tally,
}

/// The counts that there are of `keys`, which are all of one period: told that, Postgres looks into one partition.
pub async fn get_all(conn: &mut PgConnection, keys: &[&RollupKey]) -> Result<Vec<Rollup>, Error> {
    let Some(first) = keys.first() else { return Ok(Vec::new()) };
    debug_assert!(keys.iter().all(|key| key.period() == first.period()), "of one period");
    let rows = sqlx::query_as!(
        StoredRollup,
        r#"SELECT stored.grain, stored.tenant_id, stored.endpoint_id, stored.event_type, stored.bucket, stored.attempts,
               stored.failed_attempts, stored.delivered, stored.failed, stored.cancelled, stored.skipped,
               stored.errors::text AS "errors!", stored.latency, stored.delivery_time
           FROM unnest($3::text[], $4::text[], $5::text[]) AS wanted (tenant_id, endpoint_id, event_type)
           JOIN rollups AS stored ON stored.grain = $1 AND stored.bucket = $2
               AND stored.tenant_id = wanted.tenant_id AND stored.endpoint_id = wanted.endpoint_id
               AND stored.event_type = wanted.event_type"#,
        first.grain.as_str(),
        first.bucket.to_datetime(),
        &keys.iter().map(|key| tenant_text(key.tenant.as_ref())).collect::<Vec<_>>() as &[&str],
        &keys.iter().map(|key| endpoint_text(key.endpoint.as_ref())).collect::<Vec<_>>() as &[&str],
        &keys.iter().map(|key| key.event_type.as_str()).collect::<Vec<_>>() as &[&str],
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredRollup::decode).collect()
}

/// Writes counts of keys of which there are none. No key twice.
pub async fn insert_all(conn: &mut PgConnection, rollups: &[Rollup]) -> Result<(), Error> {
    if rollups.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rollups.iter().map(|rollup| &rollup.tally));
    sqlx::query!(
        "INSERT INTO rollups (grain, tenant_id, endpoint_id, event_type, bucket, attempts, failed_attempts, delivered,
             failed, cancelled, skipped, errors, latency, delivery_time)
         SELECT grain, tenant_id, endpoint_id, event_type, bucket, attempts, failed_attempts, delivered, failed,
             cancelled, skipped, errors::json, latency, delivery_time
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::bytea[], $14::bytea[])
             AS new (grain, tenant_id, endpoint_id, event_type, bucket, attempts, failed_attempts, delivered, failed,
             cancelled, skipped, errors, latency, delivery_time)",
        &rollups.iter().map(|rollup| rollup.key.grain.as_str()).collect::<Vec<_>>() as &[&str],
        &rollups.iter().map(|rollup| tenant_text(rollup.key.tenant.as_ref())).collect::<Vec<_>>() as &[&str],
        &rollups.iter().map(|rollup| endpoint_text(rollup.key.endpoint.as_ref())).collect::<Vec<_>>() as &[&str],
        &rollups.iter().map(|rollup| rollup.key.event_type.as_str()).collect::<Vec<_>>() as &[&str],
        &rollups.iter().map(|rollup| rollup.key.bucket.to_datetime()).collect::<Vec<_>>(),
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

/// Writes counts, all of one period, in the place of those that there are of their keys: of each there are some. No key
/// twice.
pub async fn replace_all(conn: &mut PgConnection, rollups: &[Rollup]) -> Result<(), Error> {
    let Some(first) = rollups.first() else { return Ok(()) };
    debug_assert!(rollups.iter().all(|rollup| rollup.key.period() == first.key.period()), "of one period");
    let columns = Columns::of(rollups.iter().map(|rollup| &rollup.tally));
    sqlx::query!(
        "UPDATE rollups AS stored SET
             attempts = new.attempts,
             failed_attempts = new.failed_attempts,
             delivered = new.delivered,
             failed = new.failed,
             cancelled = new.cancelled,
             skipped = new.skipped,
             errors = new.errors::json,
             latency = new.latency,
             delivery_time = new.delivery_time
         FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
             $10::bigint[], $11::bigint[], $12::text[], $13::bytea[], $14::bytea[])
             AS new (tenant_id, endpoint_id, event_type, attempts, failed_attempts, delivered, failed, cancelled,
             skipped, errors, latency, delivery_time)
         WHERE stored.grain = $1 AND stored.bucket = $2 AND stored.tenant_id = new.tenant_id
             AND stored.endpoint_id = new.endpoint_id AND stored.event_type = new.event_type",
        first.key.grain.as_str(),
        first.key.bucket.to_datetime(),
        &rollups.iter().map(|rollup| tenant_text(rollup.key.tenant.as_ref())).collect::<Vec<_>>() as &[&str],
        &rollups.iter().map(|rollup| endpoint_text(rollup.key.endpoint.as_ref())).collect::<Vec<_>>() as &[&str],
        &rollups.iter().map(|rollup| rollup.key.event_type.as_str()).collect::<Vec<_>>() as &[&str],
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

/// A tenant as it is stored.
pub(super) fn tenant_text(tenant: Option<&TenantId>) -> &str {
    tenant.map_or("", TenantId::as_str)
}

/// An endpoint as it is stored.
pub(super) fn endpoint_text(endpoint: Option<&EndpointId>) -> &str {
    endpoint.map_or("", EndpointId::as_str)
}

/// Tallies, column by column.
#[derive(Default)]
pub(super) struct Columns {
    pub attempts: Vec<i64>,
    pub failed_attempts: Vec<i64>,
    pub delivered: Vec<i64>,
    pub failed: Vec<i64>,
    pub cancelled: Vec<i64>,
    pub skipped: Vec<i64>,
    pub errors: Vec<String>,
    pub latency: Vec<Vec<u8>>,
    pub delivery_time: Vec<Vec<u8>>,
}

impl Columns {
    /// Of `tallies`, in their order.
    pub fn of<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Self {
        let mut columns = Self::default();
        for tally in tallies {
            columns.attempts.push(stored(tally.attempts));
            columns.failed_attempts.push(stored(tally.failed_attempts));
            columns.delivered.push(stored(tally.delivered));
            columns.failed.push(stored(tally.failed));
            columns.cancelled.push(stored(tally.cancelled));
            columns.skipped.push(stored(tally.skipped));
            columns.errors.push(errors_text(&tally.errors));
            columns.latency.push(tally.latency.to_bytes());
            columns.delivery_time.push(tally.delivery_time.to_bytes());
        }
        columns
    }
}

/// Counts by error class as JSON.
fn errors_text(errors: &BTreeMap<ErrorClass, u64>) -> String {
    json_text(&errors.iter().map(|(error, count)| (error.as_str(), count)).collect::<BTreeMap<_, _>>())
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read_count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A tally as Postgres has it.
pub(super) struct StoredTally {
    pub attempts: i64,
    pub failed_attempts: i64,
    pub delivered: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub skipped: i64,
    pub errors: String,
    pub latency: Vec<u8>,
    pub delivery_time: Vec<u8>,
}

impl StoredTally {
    pub fn decode(self) -> Result<Tally, Error> {
        let by_name: BTreeMap<String, u64> =
            serde_json::from_str(&self.errors).map_err(|error| undecodable("errors", error))?;
        let errors = by_name
            .into_iter()
            .map(|(name, count)| Ok((name.parse()?, count)))
            .collect::<Result<_, InvalidErrorClass>>()
            .map_err(|error| undecodable("errors", error))?;
        let histogram = |column: &str, bytes: &[u8]| {
            Histogram::from_bytes(bytes).map_err(|error: InvalidHistogram| undecodable(column, error))
        };
        Ok(Tally {
            attempts: read_count(self.attempts),
            failed_attempts: read_count(self.failed_attempts),
            delivered: read_count(self.delivered),
            failed: read_count(self.failed),
            cancelled: read_count(self.cancelled),
            skipped: read_count(self.skipped),
            errors,
            latency: histogram("latency", &self.latency)?,
            delivery_time: histogram("delivery_time", &self.delivery_time)?,
        })
    }
}

/// A row of `rollups` as Postgres has it.
pub(super) struct StoredRollup {
    pub grain: String,
    pub tenant_id: String,
    pub endpoint_id: String,
    pub event_type: String,
    pub bucket: DateTime<Utc>,
    pub attempts: i64,
    pub failed_attempts: i64,
    pub delivered: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub skipped: i64,
    pub errors: String,
    pub latency: Vec<u8>,
    pub delivery_time: Vec<u8>,
}

impl StoredRollup {
    pub fn decode(self) -> Result<Rollup, Error> {
        let key = RollupKey {
            // The table allows these three.
            grain: Grain::ALL.into_iter().find(|grain| grain.as_str() == self.grain).unwrap_or(Grain::Day),
            tenant: (!self.tenant_id.is_empty()).then(|| TenantId::from_trusted(self.tenant_id)),
            endpoint: (!self.endpoint_id.is_empty()).then(|| EndpointId::from_trusted(self.endpoint_id)),
            event_type: self.event_type,
            bucket: Timestamp::from_datetime(self.bucket),
        };
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
        Ok(Rollup { key, tally: tally.decode()? })
    }
}
