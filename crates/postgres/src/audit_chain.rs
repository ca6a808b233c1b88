//! The chain over the audit log (tables `audit_chain` and `audit_pending`). The relay writes it, under its lock.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::{Error, PgConnection};

use crate::audit::AuditRow;

/// A link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its place, from 1 without gaps.
    pub seq: i64,
    /// Its record's number.
    pub audit_id: i64,
    /// Its record's time.
    pub at: DateTime<Utc>,
    /// The digest of its record.
    pub digest: Vec<u8>,
    /// The hash of the link before; empty for the first.
    pub previous: Vec<u8>,
    /// The keyed hash of all the above.
    pub hash: Vec<u8>,
}

/// A link with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedRecord {
    /// The link.
    pub link: Link,
    /// The record, if it is (still) there.
    pub record: Option<AuditRow>,
}

/// A record as it is stored, all of it optional because a link may have none.
struct Record {
    id: i64,
    at: DateTime<Utc>,
    tenant_id: Option<String>,
    actor: String,
    action: String,
    entity_id: String,
    before: Option<String>,
    after: Option<String>,
    remote_addr: Option<IpNet>,
}

impl From<Record> for AuditRow {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            at: record.at,
            tenant: record.tenant_id,
            actor: record.actor,
            action: record.action,
            entity_id: record.entity_id,
            before: record.before,
            after: record.after,
            remote_addr: record.remote_addr,
        }
    }
}

/// The chain's last place and hash; none before its first link.
pub async fn head(conn: &mut PgConnection) -> Result<Option<(i64, Vec<u8>)>, Error> {
    let record =
        sqlx::query!("SELECT seq, hash FROM audit_chain ORDER BY seq DESC LIMIT 1").fetch_optional(conn).await?;
    Ok(record.map(|record| (record.seq, record.hash)))
}

/// The records that came with these changes of the outbox and are not chained, in its order.
pub async fn pending_of(conn: &mut PgConnection, outbox_ids: &[i64]) -> Result<Vec<AuditRow>, Error> {
    let records = sqlx::query_as!(
        Record,
        r#"SELECT audit_log.id, audit_log.at, tenant_id, actor, action, entity_id, before::text AS before,
             after::text AS after, remote_addr AS "remote_addr: IpNet"
         FROM audit_pending
         JOIN audit_log ON audit_log.id = audit_pending.audit_id AND audit_log.at = audit_pending.at
         WHERE outbox_id = ANY($1)
         ORDER BY outbox_id, audit_log.id"#,
        outbox_ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(Into::into).collect())
}

/// The first `limit` records that are not chained and wait for no change of the outbox, in the order of writing.
pub async fn pending_alone(conn: &mut PgConnection, limit: i64) -> Result<Vec<AuditRow>, Error> {
    let records = sqlx::query_as!(
        Record,
        r#"SELECT audit_log.id, audit_log.at, tenant_id, actor, action, entity_id, before::text AS before,
             after::text AS after, remote_addr AS "remote_addr: IpNet"
         FROM audit_pending
         JOIN audit_log ON audit_log.id = audit_pending.audit_id AND audit_log.at = audit_pending.at
         WHERE outbox_id IS NULL OR NOT EXISTS (SELECT FROM outbox WHERE outbox.id = audit_pending.outbox_id)
         ORDER BY audit_pending.audit_id
         LIMIT $1"#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(Into::into).collect())
}

/// Adds links at the chain's end; their records are no longer pending.
pub async fn append(conn: &mut PgConnection, links: &[Link]) -> Result<(), Error> {
    let seqs: Vec<i64> = links.iter().map(|link| link.seq).collect();
    let ids: Vec<i64> = links.iter().map(|link| link.audit_id).collect();
    let at: Vec<DateTime<Utc>> = links.iter().map(|link| link.at).collect();
    let digests: Vec<Vec<u8>> = links.iter().map(|link| link.digest.clone()).collect();
    let previous: Vec<Vec<u8>> = links.iter().map(|link| link.previous.clone()).collect();
    let hashes: Vec<Vec<u8>> = links.iter().map(|link| link.hash.clone()).collect();
    sqlx::query!(
        "WITH done AS (DELETE FROM audit_pending WHERE audit_id = ANY($2))
         INSERT INTO audit_chain (seq, audit_id, at, digest, previous, hash)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bytea[], $5::bytea[], $6::bytea[])",
        &seqs,
        &ids,
        &at,
        &digests,
        &previous,
        &hashes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to `limit` links after place `after`, in order, each with its record if that is there.
pub async fn links(conn: &mut PgConnection, after: i64, limit: i64) -> Result<Vec<LinkedRecord>, Error> {
    let records = sqlx::query!(
        r#"SELECT link.seq, link.audit_id, link.at, link.digest, link.previous, link.hash, record.id AS "id?",
             record.tenant_id, record.actor AS "actor?", record.action AS "action?", record.entity_id AS "entity_id?",
             record.before::text AS before, record.after::text AS after, record.remote_addr AS "remote_addr: IpNet"
         FROM audit_chain AS link
         LEFT JOIN audit_log AS record ON record.id = link.audit_id AND record.at = link.at
         WHERE link.seq > $1
         ORDER BY link.seq
         LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let linked = records.into_iter().map(|it| {
        let record = it.id.zip(it.actor).zip(it.action.zip(it.entity_id));
        let record = record.map(|((id, actor), (action, entity_id))| AuditRow {
            id,
            at: it.at,
            tenant: it.tenant_id,
            actor,
            action,
            entity_id,
            before: it.before,
            after: it.after,
            remote_addr: it.remote_addr,
        });
        LinkedRecord {
            link: Link {
                seq: it.seq,
                audit_id: it.audit_id,
                at: it.at,
                digest: it.digest,
                previous: it.previous,
                hash: it.hash,
            },
            record,
        }
    });
    Ok(linked.collect())
}

/// How many records of the log are neither chained nor waiting to be: somebody added them past the relay, or took
/// their links away. Reads the whole log.
pub async fn unlinked(conn: &mut PgConnection) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM audit_log
         WHERE NOT EXISTS (SELECT FROM audit_chain WHERE audit_chain.audit_id = audit_log.id)
             AND NOT EXISTS (SELECT FROM audit_pending WHERE audit_pending.audit_id = audit_log.id)"#
    )
    .fetch_one(conn)
    .await
}

/// Makes the transaction that has just begun see the database as it is now, whatever others commit meanwhile.
pub async fn see_one_state(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(conn).await?;
    Ok(())
}

/// Forgets links at the chain's beginning whose records are older than `before` and were dropped with their partition: all
/// but the last of them, on which the rest stands.
pub async fn forget_dropped(conn: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM audit_chain
         WHERE at < $1 AND seq < (
             SELECT link.seq - 1 FROM audit_chain AS link
             WHERE EXISTS (SELECT FROM audit_log WHERE audit_log.id = link.audit_id AND audit_log.at = link.at)
             ORDER BY link.seq LIMIT 1
         )",
        before,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
