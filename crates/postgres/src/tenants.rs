//! Table `tenants`.

use postrider_domain::{TenantId, Timestamp};
use sqlx::{Error, PgConnection};

/// A tenant's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
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
            version: record.version,
            created_at: Timestamp::from_datetime(record.created_at),
            updated_at: Timestamp::from_datetime(record.updated_at),
        }
    }};
}

/// Adds a tenant, at version 1.
pub async fn insert(conn: &mut PgConnection, id: &TenantId, name: &str, now: Timestamp) -> Result<TenantRow, Error> {
    let record = sqlx::query!(
        "INSERT INTO tenants (id, name, version, created_at, updated_at) VALUES ($1, $2, 1, $3, $3) RETURNING *",
        id.as_str(),
        name,
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

/// Renames a tenant.
pub async fn rename(
    conn: &mut PgConnection,
    id: &TenantId,
    name: &str,
    now: Timestamp,
) -> Result<Option<TenantRow>, Error> {
    let record = sqlx::query!(
        "UPDATE tenants SET name = $2, version = version + 1, updated_at = $3 WHERE id = $1 RETURNING *",
        id.as_str(),
        name,
        now.to_datetime(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(record.map(|record| row!(record)))
}

/// Removes a tenant that owns nothing any more but keys, which go with it.
pub async fn delete(conn: &mut PgConnection, id: &TenantId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM tenants WHERE id = $1", id.as_str()).execute(conn).await?;
    Ok(())
}
