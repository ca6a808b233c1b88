//! Table `api_key_usage`: what keys were used for, by day and route.

use chrono::NaiveDate;
use postrider_domain::{KeyId, TenantId, Timestamp};
use sqlx::{Error, PgConnection};

/// How often a key was used for one thing on one day (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The key.
    pub key: KeyId,
    /// The day.
    pub day: NaiveDate,
    /// What it was used for: method and path.
    pub route: String,
    /// How often.
    pub requests: i64,
    /// How many of them were not let through: over the limit, or from elsewhere.
    pub refused: i64,
    /// When last.
    pub last: Timestamp,
}

/// Adds to what is counted, and notes when each key was used last. Keys that are gone are left out.
pub async fn add(conn: &mut PgConnection, rows: &[UsageRow]) -> Result<(), Error> {
    let keys: Vec<String> = rows.iter().map(|row| row.key.to_string()).collect();
    let days: Vec<NaiveDate> = rows.iter().map(|row| row.day).collect();
    let routes: Vec<String> = rows.iter().map(|row| row.route.clone()).collect();
    let requests: Vec<i64> = rows.iter().map(|row| row.requests).collect();
    let refused: Vec<i64> = rows.iter().map(|row| row.refused).collect();
    let last: Vec<_> = rows.iter().map(|row| row.last.to_datetime()).collect();
    // First of all the keys, in one order: who deletes one waits, or is waited for.
    sqlx::query!(
        "WITH used AS (
             SELECT id, max(last) AS last
             FROM UNNEST($1::text[], $2::timestamptz[]) AS u (id, last) GROUP BY id
         ), locked AS (
             SELECT k.id, used.last FROM api_keys k JOIN used USING (id) ORDER BY k.id FOR UPDATE OF k
         )
         UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, locked.last)
         FROM locked WHERE k.id = locked.id",
        &keys,
        &last,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO api_key_usage (key_id, tenant_id, day, route, requests, refused)
         SELECT k.id, k.tenant_id, u.day, u.route, u.requests, u.refused
         FROM UNNEST($1::text[], $2::date[], $3::text[], $4::bigint[], $5::bigint[])
                  AS u (key_id, day, route, requests, refused)
         JOIN api_keys k ON k.id = u.key_id
         ORDER BY k.id, u.day, u.route
         ON CONFLICT (key_id, day, route) DO UPDATE
         SET requests = api_key_usage.requests + excluded.requests,
             refused = api_key_usage.refused + excluded.refused",
        &keys,
        &days,
        &routes,
        &requests,
        &refused,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a key of a tenant (of operators, if none) was used for since a day, the newest day first.
pub async fn list(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    key: &KeyId,
    since: NaiveDate,
    limit: i64,
) -> Result<Vec<(NaiveDate, String, i64, i64)>, Error> {
    let records = sqlx::query!(
        "SELECT day, route, requests, refused FROM api_key_usage
         WHERE tenant_id IS NOT DISTINCT FROM $1 AND key_id = $2 AND day >= $3
         ORDER BY day DESC, requests DESC, route LIMIT $4",
        tenant.map(TenantId::as_str),
        key.as_str(),
        since,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(records.into_iter().map(|record| (record.day, record.route, record.requests, record.refused)).collect())
}
