//! Table `security_events`: what was refused for reasons of security.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use postrider_domain::{KeyId, TenantId, Timestamp};
use sqlx::{Error, PgConnection};

use crate::plans;

/// Something refused, as often as it was within a few seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecurityEvent {
    /// When it happened first.
    pub at: Timestamp,
    /// When it happened last.
    pub last_at: Timestamp,
    /// How often.
    pub count: i64,
    /// What, as `bad_key`.
    pub kind: &'static str,
    /// Whose key or thing it was about, if known.
    pub tenant: Option<TenantId>,
    /// The key, if there was one.
    pub key: Option<KeyId>,
    /// Where the request came from.
    pub remote_addr: Option<IpAddr>,
    /// What was refused, in words; nothing secret.
    pub detail: String,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityEventRow {
    /// Its place in the list.
    pub id: i64,
    /// When it happened first.
    pub at: Timestamp,
    /// When it happened last.
    pub last_at: Timestamp,
    /// How often.
    pub count: i64,
    /// What, as `bad_key`.
    pub kind: String,
    /// Whose key or thing it was about, if known.
    pub tenant: Option<TenantId>,
    /// The key, if there was one.
    pub key: Option<KeyId>,
    /// Where the request came from.
    pub remote_addr: Option<IpAddr>,
    /// What was refused, in words.
    pub detail: String,
}

/// Which to list or count; what is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityEventFilter {
    /// Only of this kind.
    pub kind: Option<&'static str>,
    /// Only from this address.
    pub remote_addr: Option<IpAddr>,
    /// Only with this key.
    pub key: Option<KeyId>,
    /// Only if it happened at or after this, last.
    pub since: Option<Timestamp>,
    /// Only if it happened before this, first.
    pub until: Option<Timestamp>,
}

/// How often something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityEventCount {
    /// What, as `bad_key`.
    pub kind: String,
    /// How often.
    pub count: i64,
    /// From how many addresses.
    pub addresses: i64,
    /// When last.
    pub last_at: Timestamp,
}

struct Record {
    id: i64,
    at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    count: i64,
    kind: String,
    tenant_id: Option<String>,
    key_id: Option<String>,
    remote_addr: Option<IpNet>,
    detail: String,
}

impl From<Record> for SecurityEventRow {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            at: Timestamp::from_datetime(record.at),
            last_at: Timestamp::from_datetime(record.last_at),
            count: record.count,
            kind: record.kind,
            tenant: record.tenant_id.map(TenantId::from_trusted),
            key: record.key_id.map(KeyId::from_trusted),
            remote_addr: record.remote_addr.map(|net| net.addr()),
            detail: record.detail,
        }
    }
}

/// Adds events, each another thing or from another address than the others. What has a row of the same minute is counted
/// there.
pub async fn add(conn: &mut PgConnection, events: &[NewSecurityEvent]) -> Result<(), Error> {
    // In one order, so that no two who add the same wait for each other.
    let mut events: Vec<&NewSecurityEvent> = events.iter().collect();
    events.sort_unstable_by(|a, b| {
        (a.kind, &a.tenant, &a.key, a.remote_addr).cmp(&(b.kind, &b.tenant, &b.key, b.remote_addr))
    });
    let at: Vec<DateTime<Utc>> = events.iter().map(|event| event.at.to_datetime()).collect();
    let last_at: Vec<DateTime<Utc>> = events.iter().map(|event| event.last_at.to_datetime()).collect();
    let count: Vec<i64> = events.iter().map(|event| event.count).collect();
    let kind: Vec<String> = events.iter().map(|event| event.kind.to_owned()).collect();
    let tenant: Vec<Option<String>> =
        events.iter().map(|event| event.tenant.as_ref().map(ToString::to_string)).collect();
    let key: Vec<Option<String>> = events.iter().map(|event| event.key.as_ref().map(ToString::to_string)).collect();
    let remote_addr: Vec<Option<String>> =
        events.iter().map(|event| event.remote_addr.as_ref().map(ToString::to_string)).collect();
    let detail: Vec<String> = events.iter().map(|event| event.detail.replace('\0', "")).collect();
    sqlx::query!(
        "INSERT INTO security_events AS it (minute, at, last_at, count, kind, tenant_id, key_id, remote_addr, detail)
         SELECT date_trunc('minute', at), at, last_at, count, kind, tenant_id, key_id, remote_addr::inet, detail
         FROM unnest($1::timestamptz[], $2::timestamptz[], $3::bigint[], $4::text[], $5::text[], $6::text[],
             $7::text[], $8::text[]) AS event (at, last_at, count, kind, tenant_id, key_id, remote_addr, detail)
         ON CONFLICT (minute, kind, tenant_id, key_id, remote_addr) DO UPDATE
         SET count = it.count + excluded.count, at = least(it.at, excluded.at),
             last_at = greatest(it.last_at, excluded.last_at)",
        &at,
        &last_at,
        &count,
        &kind,
        &tenant as &[Option<String>],
        &key as &[Option<String>],
        &remote_addr as &[Option<String>],
        &detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What concerns `tenant` (none: everybody and nobody, for operators) and passes `filter`, the latest first, from the
/// one after `after`, at most `limit`.
///
/// To be called in a transaction, since it changes how this one plans: every filter is optional, and only a plan that
/// knows which ones are set uses the right index.
pub async fn list(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    filter: &SecurityEventFilter,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<SecurityEventRow>, Error> {
    plans::by_value(conn).await?;
    let records = sqlx::query_as!(
        Record,
        "SELECT id, at, last_at, count, kind, tenant_id, key_id, remote_addr, detail FROM security_events
         WHERE ($1::text IS NULL OR tenant_id = $1)
             AND ($2::text IS NULL OR kind = $2)
             AND ($3::inet IS NULL OR remote_addr = $3)
             AND ($4::text IS NULL OR key_id = $4)
             AND ($5::timestamptz IS NULL OR last_at >= $5)
             AND ($6::timestamptz IS NULL OR at < $6)
             AND ($7::bigint IS NULL OR id < $7)
         ORDER BY id DESC
         LIMIT $8",
        tenant.map(TenantId::as_str),
        filter.kind,
        filter.remote_addr.map(IpNet::from),
        filter.key.as_ref().map(KeyId::as_str),
        filter.since.map(Timestamp::to_datetime),
        filter.until.map(Timestamp::to_datetime),
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(Into::into).collect())
}

/// How often what concerns `tenant` (none: everybody and nobody, for operators) and passes `filter` happened, kind by
/// kind, the most frequent first. To be called in a transaction, as [`list`].
pub async fn count(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    filter: &SecurityEventFilter,
) -> Result<Vec<SecurityEventCount>, Error> {
    plans::by_value(conn).await?;
    let records = sqlx::query!(
        r#"SELECT kind, sum(count)::bigint AS "count!", count(DISTINCT remote_addr) AS "addresses!", max(last_at) AS "last_at!"
         FROM security_events
         WHERE ($1::text IS NULL OR tenant_id = $1)
             AND ($2::text IS NULL OR kind = $2)
             AND ($3::inet IS NULL OR remote_addr = $3)
             AND ($4::text IS NULL OR key_id = $4)
             AND ($5::timestamptz IS NULL OR last_at >= $5)
             AND ($6::timestamptz IS NULL OR at < $6)
         GROUP BY kind
         ORDER BY 2 DESC, 1"#,
        tenant.map(TenantId::as_str),
        filter.kind,
        filter.remote_addr.map(IpNet::from),
        filter.key.as_ref().map(KeyId::as_str),
        filter.since.map(Timestamp::to_datetime),
        filter.until.map(Timestamp::to_datetime),
    )
    .fetch_all(conn)
    .await?;
    Ok(records
        .into_iter()
        .map(|record| SecurityEventCount {
            kind: record.kind,
            count: record.count,
            addresses: record.addresses,
            last_at: Timestamp::from_datetime(record.last_at),
        })
        .collect())
}

/// Deletes up to 10,000 that happened before `before`. Answers how many.
pub async fn delete_before(conn: &mut PgConnection, before: Timestamp) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM security_events
         WHERE id IN (SELECT id FROM security_events WHERE last_at < $1 ORDER BY last_at LIMIT 10000)",
        before.to_datetime(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
