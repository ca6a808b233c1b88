//! Table `ip_rules`: from which addresses a tenant's keys work.

use ipnet::{AddrParseError, IpNet};
use postrider_domain::{TenantId, Timestamp, ip_rules::IpRules};
use sqlx::{Error, PgConnection};

use crate::undecodable;

/// A tenant's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpRulesRow {
    /// The rules.
    pub rules: IpRules,
    /// Counts their changes.
    pub version: i64,
    /// When they were last changed.
    pub updated_at: Timestamp,
}

/// The rules of a tenant; none if it never had any.
pub async fn get(conn: &mut PgConnection, tenant: &TenantId) -> Result<Option<IpRulesRow>, Error> {
    let record =
        sqlx::query!("SELECT allow, block, version, updated_at FROM ip_rules WHERE tenant_id = $1", tenant.as_str())
            .fetch_optional(conn)
            .await?;
    record
        .map(|record| {
            Ok(IpRulesRow {
                rules: IpRules { allow: networks(&record.allow)?, block: networks(&record.block)? },
                version: record.version,
                updated_at: Timestamp::from_datetime(record.updated_at),
            })
        })
        .transpose()
}

/// A column with networks.
pub(crate) fn networks(texts: &[String]) -> Result<Vec<IpNet>, Error> {
    let networks: Result<Vec<IpNet>, AddrParseError> = texts.iter().map(|text| text.parse()).collect();
    networks.map_err(|error| undecodable("allow or block", error))
}

/// Gives a tenant these rules instead of what it had. The caller has locked the tenant.
pub async fn put(conn: &mut PgConnection, tenant: &TenantId, row: &IpRulesRow) -> Result<(), Error> {
    let texts = |networks: &[IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
    sqlx::query!(
        "INSERT INTO ip_rules (tenant_id, allow, block, version, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant_id) DO UPDATE
         SET allow = excluded.allow, block = excluded.block, version = excluded.version,
             updated_at = excluded.updated_at",
        tenant.as_str(),
        &texts(&row.rules.allow),
        &texts(&row.rules.block),
        row.version,
        row.updated_at.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
