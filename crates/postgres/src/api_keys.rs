//! Table `api_keys`.

use ipnet::IpNet;
use postrider_domain::{KeyId, TenantId, Timestamp};
use sqlx::{Error, PgConnection};

use crate::undecodable;

/// The text of a key before its last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousText {
    /// Its public part.
    pub prefix: String,
    /// Its keyed hash.
    pub hash: Vec<u8>,
    /// Until when it works.
    pub expires_at: Timestamp,
}

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
    /// From which networks it works; none: from everywhere.
    pub allowed_cidrs: Vec<IpNet>,
    /// How many requests it may make, and in how many seconds; none: as many as it likes.
    pub rate_limit: Option<(u32, u32)>,
    /// When its text was last replaced, if ever.
    pub rotated_at: Option<Timestamp>,
    /// The text that the present one replaced, while both work.
    pub previous: Option<PreviousText>,
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
pub(crate) struct Record {
    pub id: String,
    pub tenant_id: Option<String>,
    pub name: String,
    pub prefix: String,
    pub hash: Vec<u8>,
    pub scopes: Vec<String>,
    pub allowed_cidrs: Vec<String>,
    pub rate_requests: Option<i32>,
    pub rate_period_s: Option<i32>,
    pub rotated_at: Option<chrono::DateTime<chrono::Utc>>,
    pub previous_prefix: Option<String>,
    pub previous_hash: Option<Vec<u8>>,
    pub previous_expires_at: Option<chrono::DateTime<chrono::Utc>>,
    pub created_at: chrono::DateTime<chrono::Utc>,
    pub expires_at: Option<chrono::DateTime<chrono::Utc>>,
    pub revoked_at: Option<chrono::DateTime<chrono::Utc>>,
    pub last_used_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl TryFrom<Record> for ApiKeyRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        let networks = record.allowed_cidrs.iter().map(|text| text.parse());
        let allowed_cidrs = networks.collect::<Result<_, _>>().map_err(|error| undecodable("allowed_cidrs", error))?;
        let number = |number: i32| u32::try_from(number).unwrap_or_default();
        let previous = match (record.previous_prefix, record.previous_hash, record.previous_expires_at) {
            (Some(prefix), Some(hash), Some(at)) => {
                Some(PreviousText { prefix, hash, expires_at: Timestamp::from_datetime(at) })
            }
            _ => None,
        };
        Ok(Self {
            id: KeyId::from_trusted(record.id),
            tenant: record.tenant_id.map(TenantId::from_trusted),
            name: record.name,
            prefix: record.prefix,
            hash: record.hash,
            scopes: record.scopes,
            allowed_cidrs,
            rate_limit: record.rate_requests.map(number).zip(record.rate_period_s.map(number)),
            rotated_at: record.rotated_at.map(Timestamp::from_datetime),
            previous,
            created_at: Timestamp::from_datetime(record.created_at),
            expires_at: record.expires_at.map(Timestamp::from_datetime),
            revoked_at: record.revoked_at.map(Timestamp::from_datetime),
            last_used_at: record.last_used_at.map(Timestamp::from_datetime),
        })
    }
}

/// Adds a key as it is given.
pub async fn insert(conn: &mut PgConnection, new: &ApiKeyRow) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO api_keys
             (id, tenant_id, name, prefix, hash, scopes, created_at, expires_at, allowed_cidrs, rate_requests,
              rate_period_s)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        new.id.as_str(),
        new.tenant.as_ref().map(TenantId::as_str),
        new.name,
        new.prefix,
        new.hash,
        &new.scopes,
        new.created_at.to_datetime(),
        new.expires_at.map(Timestamp::to_datetime),
        &new.allowed_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        new.rate_limit.map(|(requests, _)| stored(requests)),
        new.rate_limit.map(|(_, seconds)| stored(seconds)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The columns have room for what may be configured, which is a million at most.
fn stored(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Looks a key up by the public part of its text, the present one or the one before, whomever it belongs to.
pub async fn find_by_prefix(conn: &mut PgConnection, prefix: &str) -> Result<Option<ApiKeyRow>, Error> {
    sqlx::query_as!(Record, "SELECT * FROM api_keys WHERE prefix = $1 OR previous_prefix = $1", prefix)
        .fetch_optional(conn)
        .await?
        .map(TryInto::try_into)
        .transpose()
}

/// Looks a key of a tenant (of operators, if none) up.
pub async fn get(conn: &mut PgConnection, tenant: Option<&TenantId>, id: &KeyId) -> Result<Option<ApiKeyRow>, Error> {
    let record = sqlx::query_as!(
        Record,
        "SELECT * FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM $1 AND id = $2",
        tenant.map(TenantId::as_str),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    record.map(TryInto::try_into).transpose()
}

/// Gives a key of a tenant (of operators, if none) a new text; the one that it has works until `previous_until`, an
/// older one no more. Nothing if there is no such key, or if it was revoked.
pub async fn rotate(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    id: &KeyId,
    (prefix, hash): (&str, &[u8]),
    previous_until: Timestamp,
    now: Timestamp,
) -> Result<Option<ApiKeyRow>, Error> {
    let record = sqlx::query_as!(
        Record,
        "UPDATE api_keys
         SET previous_prefix = prefix, previous_hash = hash, previous_expires_at = $5, prefix = $3, hash = $4,
             rotated_at = $6
         WHERE tenant_id IS NOT DISTINCT FROM $1 AND id = $2 AND revoked_at IS NULL RETURNING *",
        tenant.map(TenantId::as_str),
        id.as_str(),
        prefix,
        hash,
        previous_until.to_datetime(),
        now.to_datetime(),
    )
    .fetch_optional(conn)
    .await?;
    record.map(TryInto::try_into).transpose()
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
    records.into_iter().map(TryInto::try_into).collect()
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
    record.map(TryInto::try_into).transpose()
}

/// Ends the text of a key at `at`, or earlier if it ends earlier: revokes the key if that is its present text and `at`
/// is past. Nothing if there is no such text, or if it ended earlier.
pub async fn end_text(
    conn: &mut PgConnection,
    prefix: &str,
    at: Timestamp,
    now: Timestamp,
) -> Result<Option<ApiKeyRow>, Error> {
    let record = sqlx::query_as!(
        Record,
        "UPDATE api_keys
         SET expires_at = CASE WHEN prefix = $1 THEN $2 ELSE expires_at END,
             revoked_at = CASE WHEN prefix = $1 AND $2 <= $3 THEN $3 ELSE revoked_at END,
             previous_expires_at = CASE WHEN previous_prefix = $1 THEN $2 ELSE previous_expires_at END
         WHERE revoked_at IS NULL
           AND (prefix = $1 AND (expires_at IS NULL OR expires_at > $2)
               OR previous_prefix = $1 AND previous_expires_at > $2)
         RETURNING *",
        prefix,
        at.to_datetime(),
        now.to_datetime(),
    )
    .fetch_optional(conn)
    .await?;
    record.map(TryInto::try_into).transpose()
}

/// Revokes every key that works, whomever it belongs to.
pub async fn revoke_all(conn: &mut PgConnection, now: Timestamp) -> Result<Vec<ApiKeyRow>, Error> {
    let records = sqlx::query_as!(
        Record,
        "UPDATE api_keys SET revoked_at = $1
         WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) RETURNING *",
        now.to_datetime(),
    )
    .fetch_all(conn)
    .await?;
    records.into_iter().map(TryInto::try_into).collect()
}

/// Notes that a key was used.
pub async fn touch(conn: &mut PgConnection, id: &KeyId, now: Timestamp) -> Result<(), Error> {
    sqlx::query!("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", id.as_str(), now.to_datetime())
        .execute(conn)
        .await?;
    Ok(())
}
