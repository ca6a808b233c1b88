//! Table `audit_log`: who changed what. Added to, never changed; the relay chains it ([`crate::audit_chain`]).

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use postrider_domain::{ConfigBody, TenantId, Timestamp};
use sqlx::{Error, PgConnection};

use crate::{json_text, plans};

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

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, in the order of writing.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Whose entity; none for what belongs to no tenant.
    pub tenant: Option<String>,
    /// The id of the API key, `cli`, or `postrider`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub entity_id: String,
    /// The entity before: JSON, to the byte as it was written.
    pub before: Option<String>,
    /// The entity after: JSON, to the byte as it was written.
    pub after: Option<String>,
    /// Where the request came from.
    pub remote_addr: Option<IpNet>,
}

/// Which records to list; what is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only of this action; `endpoint.` takes all that begin so.
    pub action: Option<String>,
    /// Only of this entity.
    pub entity_id: Option<String>,
    /// Only from this address.
    pub remote_addr: Option<IpAddr>,
    /// Only at or after this.
    pub since: Option<Timestamp>,
    /// Only before this.
    pub until: Option<Timestamp>,
}

/// A record with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedAuditRow {
    /// The record.
    pub row: AuditRow,
    /// Its place; none until the relay has chained it.
    pub seq: Option<i64>,
}

/// Adds a record, in the transaction of what it tells of; where the directory is told of that too (the entity's version
/// and what it is now), the change is added to the outbox as [`outbox::push`](crate::outbox::push) does, in the same
/// statement.
pub async fn insert(
    conn: &mut PgConnection,
    record: &AuditRecord<'_>,
    change: Option<(i64, &ConfigBody)>,
) -> Result<(), Error> {
    // Without a change of its own: what the outbox was given last in this transaction. The record is chained when that is
    // published.
    sqlx::query!(
        "WITH number AS MATERIALIZED (
             SELECT CASE
                 WHEN $9::text IS NULL THEN nullif(current_setting('postrider.outbox_id', true), '')
                 ELSE set_config('postrider.outbox_id', nextval('outbox_id_seq')::text, true)
             END::bigint AS id
         ), change AS (
             INSERT INTO outbox (id, entity_id, entity_version, body)
             SELECT id, $9, $10, $11::text::json FROM number WHERE $9 IS NOT NULL
         ), record AS (
             INSERT INTO audit_log (at, tenant_id, actor, action, entity_id, before, after, remote_addr)
             VALUES ($1, $2, $3, $4, $5, $6::text::json, $7::text::json, $8)
             RETURNING id, at
         )
         INSERT INTO audit_pending (audit_id, at, outbox_id)
         SELECT record.id, record.at, number.id FROM record CROSS JOIN number",
        record.at.to_datetime(),
        record.tenant.map(TenantId::as_str),
        record.actor,
        record.action,
        record.entity_id,
        record.before.map(json_text),
        record.after.map(json_text),
        record.remote_addr.map(IpNet::from),
        change.map(|(_, body)| body.key().to_string()),
        change.map(|(entity_version, _)| entity_version),
        change.map(|(_, body)| json_text(body)),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The records about what is `tenant`'s (none: about everything, for operators) that pass `filter`, the latest first,
/// from the one after `after` (time and number), at most `limit`.
///
/// To be called in a transaction, since it changes how this one plans: every filter is optional, and only a plan that
/// knows which ones are set uses the right index.
pub async fn list(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    filter: &AuditFilter,
    after: Option<(Timestamp, i64)>,
    limit: i64,
) -> Result<Vec<ChainedAuditRow>, Error> {
    plans::by_value(conn).await?;
    let records = sqlx::query!(
        r#"SELECT page.id, page.at, page.tenant_id, page.actor, page.action, page.entity_id,
             page.before::text AS before, page.after::text AS after, page.remote_addr AS "remote_addr: IpNet",
             (SELECT seq FROM audit_chain WHERE audit_chain.audit_id = page.id) AS seq
         FROM (
             SELECT * FROM audit_log
             WHERE ($1::text IS NULL OR tenant_id = $1)
                 AND ($2::text IS NULL OR actor = $2)
                 AND ($3::text IS NULL OR action = $3 OR (right($3, 1) = '.' AND starts_with(action, $3)))
                 AND ($4::text IS NULL OR entity_id = $4)
                 AND ($5::inet IS NULL OR remote_addr = $5)
                 AND ($6::timestamptz IS NULL OR at >= $6)
                 AND ($7::timestamptz IS NULL OR at < $7)
                 AND ($8::timestamptz IS NULL OR (at, id) < ($8, $9))
             ORDER BY at DESC, id DESC
             LIMIT $10
         ) AS page
         ORDER BY page.at DESC, page.id DESC"#,
        tenant.map(TenantId::as_str),
        filter.actor,
        filter.action,
        filter.entity_id,
        filter.remote_addr.map(IpNet::from),
        filter.since.map(Timestamp::to_datetime),
        filter.until.map(Timestamp::to_datetime),
        after.map(|(at, _)| at.to_datetime()),
        after.map(|(_, id)| id),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = records.into_iter().map(|record| ChainedAuditRow {
        row: AuditRow {
            id: record.id,
            at: record.at,
            tenant: record.tenant_id,
            actor: record.actor,
            action: record.action,
            entity_id: record.entity_id,
            before: record.before,
            after: record.after,
            remote_addr: record.remote_addr,
        },
        seq: record.seq,
    });
    Ok(rows.collect())
}
