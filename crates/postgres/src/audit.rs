//! Table `audit_log`: who changed what.

use std::net::IpAddr;

use ipnet::IpNet;
use postrider_domain::{TenantId, Timestamp};
use sqlx::{Error, PgConnection};

use crate::json_text;

/// One change. What is secret must have been masked in `before` and `after`.
#[derive(Debug, Clone)]
pub struct AuditRecord<'a> {
    /// When.
    pub at: Timestamp,
    /// Whose entity; none for what belongs to no tenant.
    pub tenant: Option<&'a TenantId>,
    /// The id of the API key, `cli`, or `postrider`.
    pub actor: &'a str,
    /// What was done, as `endpoint.update`.
    pub action: &'a str,
    /// To what.
    pub entity_id: &'a str,
    /// The entity before.
    pub before: Option<&'a serde_json::Value>,
    /// The entity after.
    pub after: Option<&'a serde_json::Value>,
    /// Where the request came from.
    pub remote_addr: Option<IpAddr>,
}

/// Adds a record, in the transaction of the change.
pub async fn insert(conn: &mut PgConnection, record: &AuditRecord<'_>) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO audit_log (at, tenant_id, actor, action, entity_id, before, after, remote_addr)
         VALUES ($1, $2, $3, $4, $5, $6::text::json, $7::text::json, $8)",
        record.at.to_datetime(),
        record.tenant.map(TenantId::as_str),
        record.actor,
        record.action,
        record.entity_id,
        record.before.map(json_text),
        record.after.map(json_text),
        record.remote_addr.map(IpNet::from),
    )
    .execute(conn)
    .await?;
    Ok(())
}
