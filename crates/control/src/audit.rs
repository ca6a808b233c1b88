//! Who changed what: written in the transaction of the change.

use std::net::IpAddr;

use postrider_domain::{ConfigBody, TenantId, Timestamp};
use postrider_postgres::{
    Error, PgConnection,
    audit::{self, AuditRecord},
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
    audit::insert(conn, &change.row(actor, now), None).await?;
    idempotency::mark_done(conn).await
}

/// The same of a change that the directory is told of: `body`, at this version of the entity.
pub(crate) async fn publish(
    conn: &mut PgConnection,
    actor: &Actor,
    now: Timestamp,
    entity_version: i64,
    body: &ConfigBody,
    change: Change<'_>,
) -> Result<(), Error> {
    audit::insert(conn, &change.row(actor, now), Some((entity_version, body))).await?;
    idempotency::mark_done(conn).await
}

impl Change<'_> {
    fn row<'a>(&'a self, actor: &'a Actor, now: Timestamp) -> AuditRecord<'a> {
        AuditRecord {
            at: now,
            tenant: self.tenant,
            actor: &actor.id,
            action: self.action,
            entity_id: self.entity_id,
            before: self.before.as_ref(),
            after: self.after.as_ref(),
            remote_addr: actor.remote_addr,
        }
    }
}
