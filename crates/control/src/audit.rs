//! Who changed what: written in the transaction of the change.

use std::net::IpAddr;

use postrider_domain::{TenantId, Timestamp};
use postrider_postgres::{
    Error, PgConnection,
    audit::{AuditRecord, insert},
};
use serde_json::Value;

use crate::idempotency;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The id of the API key, `cli`, or `postrider`.
    pub id: String,
    /// Where the request came from.
    pub remote_addr: Option<IpAddr>,
}

impl Actor {
    /// A command that is run beside the database.
    pub fn cli() -> Self {
        Self { id: "cli".to_owned(), remote_addr: None }
    }

    /// Postrider itself.
    pub fn postrider() -> Self {
        Self { id: "postrider".to_owned(), remote_addr: None }
    }
}

/// One change of one entity.
#[derive(Debug)]
pub struct Change<'a> {
    /// Whose entity; none for what belongs to no tenant.
    pub tenant: Option<&'a TenantId>,
    /// What was done, as `endpoint.update`.
    pub action: &'static str,
    /// To what.
    pub entity_id: &'a str,
    /// The entity before, without what is secret.
    pub before: Option<Value>,
    /// The entity after, without what is secret.
    pub after: Option<Value>,
}

/// Writes down a change, and that the request which makes it is done, if that one has an `Idempotency-Key`.
pub async fn record(conn: &mut PgConnection, actor: &Actor, now: Timestamp, change: Change<'_>) -> Result<(), Error> {
    let record = AuditRecord {
        at: now,
        tenant: change.tenant,
        actor: &actor.id,
        action: change.action,
        entity_id: change.entity_id,
        before: change.before.as_ref(),
        after: change.after.as_ref(),
        remote_addr: actor.remote_addr,
    };
    insert(conn, &record).await?;
    idempotency::mark_done(conn).await
}
