//! Table `endpoint_secrets`.

use postrider_domain::{EndpointId, SecretId, TenantId, Timestamp, endpoint::EndpointSecret, seal::Sealed};
use sqlx::{Error, PgConnection};

use crate::undecodable;

/// Adds a signing secret to an endpoint.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: &TenantId,
    endpoint: &EndpointId,
    secret: &EndpointSecret,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO endpoint_secrets (id, tenant_id, endpoint_id, sealed, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        secret.id.as_str(),
        tenant.as_str(),
        endpoint.as_str(),
        secret.sealed.as_bytes(),
        now.to_datetime(),
        secret.expires_at.map(Timestamp::to_datetime),
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
) -> Result<Vec<EndpointSecret>, Error> {
    let records = sqlx::query!(
        "SELECT id, sealed, expires_at FROM endpoint_secrets
         WHERE tenant_id = $1 AND endpoint_id = $2 AND (expires_at IS NULL OR expires_at > $3) ORDER BY id DESC",
        tenant.as_str(),
        endpoint.as_str(),
        now.to_datetime(),
    )
    .fetch_all(conn)
    .await?;
    records
        .into_iter()
        .map(|record| {
            Ok(EndpointSecret {
                id: SecretId::from_trusted(record.id),
                sealed: Sealed::from_bytes(record.sealed).map_err(|error| undecodable("sealed", error))?,
                expires_at: record.expires_at.map(Timestamp::from_datetime),
            })
        })
        .collect()
}
