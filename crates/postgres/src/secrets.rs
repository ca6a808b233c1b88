//! Table `endpoint_secrets`.

use postrider_domain::{EndpointId, SecretId, TenantId, Timestamp, endpoint::EndpointSecret, seal::Sealed};
use sqlx::{Error, PgConnection};

use crate::{undecodable, words::words};

/// A signing secret's row.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretRow {
    /// What of it the data plane needs.
    pub secret: EndpointSecret,
    /// The version of the endpoint that it came with: the higher the newer.
    pub version: i64,
    /// What kind of key it is.
    pub kind: SecretKind,
    /// What receivers verify with, of an ed25519 key.
    pub public_key: Option<String>,
    /// Where it is from.
    pub source: SecretSource,
    /// The id of the API key, or what else made it; none for those that were made before this was kept.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

words! {
    /// What kind of key a secret is.
    SecretKind, "a kind of signing secret" {
        /// Shared with the receiver.
        Hmac = "hmac",
        /// Ours alone; the receiver has its public half.
        Ed25519 = "ed25519",
    }
}

words! {
    /// Where a secret is from.
    SecretSource, "where a signing secret is from" {
        /// Postrider made it when it was asked to.
        Generated = "generated",
        /// The endpoint's owner brought it.
        Given = "given",
        /// Postrider made it on schedule.
        Scheduled = "scheduled",
    }
}

/// A record of `SELECT *`.
struct Record {
    id: String,
    sealed: Vec<u8>,
    version: i64,
    kind: String,
    public_key: Option<String>,
    source: String,
    created_by: Option<String>,
    created_at: chrono::DateTime<chrono::Utc>,
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl TryFrom<Record> for SecretRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        Ok(Self {
            secret: EndpointSecret {
                id: SecretId::from_trusted(record.id),
                sealed: Sealed::from_bytes(record.sealed).map_err(|error| undecodable("sealed", error))?,
                expires_at: record.expires_at.map(Timestamp::from_datetime),
            },
            version: record.version,
            kind: record.kind.parse::<SecretKind>().map_err(|error| undecodable("kind", error))?,
            public_key: record.public_key,
            source: record.source.parse::<SecretSource>().map_err(|error| undecodable("source", error))?,
            created_by: record.created_by,
            created_at: Timestamp::from_datetime(record.created_at),
        })
    }
}

/// Adds a signing secret to an endpoint.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    new: &SecretRow,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO endpoint_secrets (id, tenant_id, endpoint_id, sealed, created_at, expires_at, version, kind,
             public_key, source, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        new.secret.id.as_str(),
        tenant.as_str(),
        endpoint.as_str(),
        new.secret.sealed.as_bytes(),
        new.created_at.to_datetime(),
        new.secret.expires_at.map(Timestamp::to_datetime),
        new.version,
        new.kind.as_str(),
        new.public_key,
        new.source.as_str(),
        new.created_by,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An endpoint's secrets that sign at `now`, newest first.
pub async fn list_current(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    now: Timestamp,
) -> Result<Vec<SecretRow>, Error> {
    sqlx::query_as!(
        Record,
        "SELECT id, sealed, version, kind, public_key, source, created_by, created_at, expires_at FROM endpoint_secrets
         WHERE tenant_id = $1 AND endpoint_id = $2 AND (expires_at IS NULL OR expires_at > $3)
         ORDER BY version DESC, id DESC",
        tenant.as_str(),
        endpoint.as_str(),
        now.to_datetime(),
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Up to `limit` of an endpoint's secrets before the one given, newest first, those that sign no more included.
pub async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<SecretRow>, Error> {
    sqlx::query_as!(
        Record,
        "SELECT id, sealed, version, kind, public_key, source, created_by, created_at, expires_at FROM endpoint_secrets
         WHERE tenant_id = $1 AND endpoint_id = $2 AND ($3::bigint IS NULL OR version < $3)
         ORDER BY version DESC, id DESC LIMIT $4",
        tenant.as_str(),
        endpoint.as_str(),
        before,
        limit,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Looks a secret of an endpoint up.
pub async fn get(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    id: &SecretId,
) -> Result<Option<SecretRow>, Error> {
    sqlx::query_as!(
        Record,
        "SELECT id, sealed, version, kind, public_key, source, created_by, created_at, expires_at FROM endpoint_secrets
         WHERE tenant_id = $1 AND endpoint_id = $2 AND id = $3",
        tenant.as_str(),
        endpoint.as_str(),
        id.as_str(),
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Lets a secret end at `at`, or earlier if it ends earlier.
pub async fn expire(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    id: &SecretId,
    at: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE endpoint_secrets SET expires_at = LEAST(COALESCE(expires_at, $4), $4)
         WHERE tenant_id = $1 AND endpoint_id = $2 AND id = $3",
        tenant.as_str(),
        endpoint.as_str(),
        id.as_str(),
        at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the secrets of an endpoint that ended before `before`.
pub async fn delete_expired(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    before: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM endpoint_secrets WHERE tenant_id = $1 AND endpoint_id = $2 AND expires_at < $3",
        tenant.as_str(),
        endpoint.as_str(),
        before.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
