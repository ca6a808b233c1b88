//! Table `api_keys`.

use postrider_domain::{KeyId, TenantId, Timestamp};
use sqlx::{Error, PgConnection};

/// An API key's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: KeyId,
    /// The tenant that it belongs to; none for an operator key.
    pub tenant: Option<TenantId>,
    /// Its name.
    pub name: String,
    /// The public part of its text, by which it is looked up.
    pub prefix: String,
    /// The keyed hash of its text (`KeyedHash::to_bytes`).
    pub hash: Vec<u8>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A record of `SELECT *`.
struct Record {
    id: String,
    tenant_id: Option<String>,
    name: String,
    prefix: String,
    hash: Vec<u8>,
    scopes: Vec<String>,
    created_at: chrono::DateTime<chrono::Utc>,
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
    revoked_at: Option<chrono::DateTime<chrono::Utc>>,
    last_used_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl From<Record> for ApiKeyRow {
    fn from(record: Record) -> Self {
        Self {
            id: KeyId::from_trusted(record.id),
            tenant: record.tenant_id.map(TenantId::from_trusted),
            name: record.name,
            prefix: record.prefix,
            hash: record.hash,
            scopes: record.scopes,
            created_at: Timestamp::from_datetime(record.created_at),
            expires_at: record.expires_at.map(Timestamp::from_datetime),
            revoked_at: record.revoked_at.map(Timestamp::from_datetime),
            last_used_at: record.last_used_at.map(Timestamp::from_datetime),
        }
    }
}

/// Adds a key as it is given.
pub async fn insert(conn: &mut PgConnection, new: &ApiKeyRow) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.id.as_str(),
        new.tenant.as_ref().map(TenantId::as_str),
        new.name,
        new.prefix,
        new.hash,
        &new.scopes,
        new.created_at.to_datetime(),
        new.expires_at.map(Timestamp::to_datetime),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Looks a key up by the public part of its text, whomever it belongs to.
pub async fn find_by_prefix(conn: &mut PgConnection, prefix: &str) -> Result<Option<ApiKeyRow>, Error> {
    let record =
        sqlx::query_as!(Record, "SELECT * FROM api_keys WHERE prefix = $1", prefix).fetch_optional(conn).await?;
    Ok(record.map(Into::into))
}

/// Up to `limit` keys of a tenant (of operators, if none) after the one given, oldest first.
pub async fn list(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    after: Option<&KeyId>,
    limit: i64,
) -> Result<Vec<ApiKeyRow>, Error> {
    let records = sqlx::query_as!(
        Record,
        "SELECT * FROM api_keys
         WHERE tenant_id IS NOT DISTINCT FROM $1 AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3",
        tenant.map(TenantId::as_str),
        after.map(KeyId::as_str),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(Into::into).collect())
}

/// Revokes a key of a tenant (of operators, if none); one that was revoked before stays as it was.
pub async fn revoke(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    id: &KeyId,
    now: Timestamp,
) -> Result<Option<ApiKeyRow>, Error> {
    let record = sqlx::query_as!(
        Record,
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3)
         WHERE tenant_id IS NOT DISTINCT FROM $1 AND id = $2 RETURNING *",
        tenant.map(TenantId::as_str),
        id.as_str(),
        now.to_datetime(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(record.map(Into::into))
}

/// Notes that a key was used.
pub async fn touch(conn: &mut PgConnection, id: &KeyId, now: Timestamp) -> Result<(), Error> {
    sqlx::query!("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", id.as_str(), now.to_datetime())
        .execute(conn)
        .await?;
    Ok(())
}
