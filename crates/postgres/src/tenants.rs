//! Table `tenants`.

use postrider_domain::{TenantId, Timestamp};
use sqlx::{Error, PgConnection};

/// That an operator suspended a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Since when.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// What a tenant may have and do; none: without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// How many endpoints.
    pub endpoints: Option<i64>,
    /// How many events it may publish over HTTP in a second.
    pub publish_per_second: Option<i64>,
    /// How many deliveries it may begin on a day (UTC).
    pub deliveries_per_day: Option<i64>,
}

/// A tenant's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Since when it is suspended, and why, if it is.
    pub suspended: Option<Suspension>,
    /// What it may have and do.
    pub quotas: Quotas,
    /// Until when its deliveries are held because it is over its quota of them.
    pub held_until: Option<Timestamp>,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

macro_rules! row {
    ($record:expr) => {{
        let record = $record;
        TenantRow {
            id: TenantId::from_trusted(record.id),
            name: record.name,
            suspended: record
                .suspended_at
                .zip(record.suspended_reason)
                .map(|(at, reason)| Suspension { at: Timestamp::from_datetime(at), reason }),
            quotas: Quotas {
                endpoints: record.max_endpoints,
                publish_per_second: record.max_publish_per_second,
                deliveries_per_day: record.max_deliveries_per_day,
            },
            held_until: record.held_until.map(Timestamp::from_datetime),
            version: record.version,
            created_at: Timestamp::from_datetime(record.created_at),
            updated_at: Timestamp::from_datetime(record.updated_at),
        }
    }};
}

/// Adds a tenant, at version 1.
pub async fn insert(
    conn: &mut PgConnection,
    id: &TenantId,
    name: &str,
    quotas: Quotas,
    now: Timestamp,
) -> Result<TenantRow, Error> {
    let record = sqlx::query!(
        "INSERT INTO tenants
             (id, name, max_endpoints, max_publish_per_second, max_deliveries_per_day, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $6) RETURNING *",
        id.as_str(),
        name,
        quotas.endpoints,
        quotas.publish_per_second,
        quotas.deliveries_per_day,
        now.to_datetime(),
    )
    .fetch_one(conn)
    .await?;
    Ok(row!(record))
}

/// Looks a tenant up.
pub async fn get(conn: &mut PgConnection, id: &TenantId) -> Result<Option<TenantRow>, Error> {
    let record = sqlx::query!("SELECT * FROM tenants WHERE id = $1", id.as_str()).fetch_optional(conn).await?;
    Ok(record.map(|record| row!(record)))
}

/// Looks a tenant up and keeps others from changing it, or adding to what it owns, until the transaction ends.
pub async fn get_for_update(conn: &mut PgConnection, id: &TenantId) -> Result<Option<TenantRow>, Error> {
    let record =
        sqlx::query!("SELECT * FROM tenants WHERE id = $1 FOR UPDATE", id.as_str()).fetch_optional(conn).await?;
    Ok(record.map(|record| row!(record)))
}

/// Up to `limit` tenants after the one given, oldest first.
pub async fn list(conn: &mut PgConnection, after: Option<&TenantId>, limit: i64) -> Result<Vec<TenantRow>, Error> {
    let records = sqlx::query!(
        "SELECT * FROM tenants WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2",
        after.map(TenantId::as_str),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(|record| row!(record)).collect())
}

/// Stores a tenant as it is given, with its version. False if there is none.
pub async fn update(conn: &mut PgConnection, row: &TenantRow) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE tenants
         SET name = $2, max_endpoints = $3, max_publish_per_second = $4, max_deliveries_per_day = $5,
             suspended_at = $6, suspended_reason = $7, held_until = $8, version = $9, updated_at = $10
         WHERE id = $1",
        row.id.as_str(),
        row.name,
        row.quotas.endpoints,
        row.quotas.publish_per_second,
        row.quotas.deliveries_per_day,
        row.suspended.as_ref().map(|suspension| suspension.at.to_datetime()),
        row.suspended.as_ref().map(|suspension| suspension.reason.as_str()),
        row.held_until.map(Timestamp::to_datetime),
        row.version,
        row.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes a tenant that owns nothing any more but keys, which go with it.
pub async fn delete(conn: &mut PgConnection, id: &TenantId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM tenant_usage WHERE tenant_id = $1", id.as_str()).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM tenants WHERE id = $1", id.as_str()).execute(conn).await?;
    Ok(())
}
