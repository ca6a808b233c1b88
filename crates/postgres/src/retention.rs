//! What is kept by time: partitions made ahead and dropped behind, by functions of the database that run with its
//! owner's rights.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postrider_domain::Timestamp;
use sqlx::{Error, PgConnection};

/// The key of the advisory lock that the one who makes and drops partitions holds ("postkeep" in ASCII).
const LOCK: i64 = 0x706f_7374_6b65_6570;

/// The most tests that are deleted at once.
const MAX_TESTS: i64 = 1_000;
/// The most counts of what keys and tenants did on a day that are deleted at once, of each kind.
const MAX_USAGE: i64 = 10_000;

/// A table that has a partition for each day or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Deliveries, by when they were matched.
    Deliveries,
    /// Their attempts, by when they were made.
    Attempts,
    /// The audit log.
    Audit,
    /// Counts by minute.
    Minutes,
    /// Counts by hour.
    Hours,
    /// Counts by day.
    Days,
}

impl Kept {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Deliveries, Self::Attempts, Self::Audit, Self::Minutes, Self::Hours, Self::Days];

    /// The table's name.
    pub fn table(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Attempts => "delivery_attempts",
            Self::Audit => "audit_log",
            Self::Minutes => "rollup_minutes",
            Self::Hours => "rollup_hours",
            Self::Days => "rollup_days",
        }
    }
}

/// Takes the lock under which partitions are made and dropped, until the transaction ends, and gives up waiting for a
/// table after `patience`: who waits for all of a table makes everybody else wait too. False if somebody else has the
/// lock.
pub async fn try_lock(conn: &mut PgConnection, patience: Duration) -> Result<bool, Error> {
    let patience = format!("{}ms", patience.as_millis());
    sqlx::query_scalar!(
        r#"SELECT set_config('lock_timeout', $2, true) IS NOT NULL AND pg_try_advisory_xact_lock($1) AS "locked!""#,
        LOCK,
        patience
    )
    .fetch_one(conn)
    .await
}

/// When the partitions begin that a table lacks: for all times from `since` to `until`, and for rows from `oldest` on
/// that have none yet.
pub async fn missing(
    conn: &mut PgConnection,
    kept: Kept,
    oldest: Timestamp,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<DateTime<Utc>>, Error> {
    sqlx::query_scalar!(
        r#"SELECT starts AS "starts!" FROM missing_partitions($1, $2, $3, $4) AS starts"#,
        kept.table(),
        oldest.to_datetime(),
        since.to_datetime(),
        until.to_datetime()
    )
    .fetch_all(conn)
    .await
}

/// Makes the partition of a table that begins at `starts`. False if it is there.
pub async fn make(conn: &mut PgConnection, kept: Kept, starts: DateTime<Utc>) -> Result<bool, Error> {
    sqlx::query_scalar!(r#"SELECT make_partition($1, $2) AS "made!""#, kept.table(), starts).fetch_one(conn).await
}

/// Drops a table's partitions that end before `before`, and what else in it is as old. Answers their names.
pub async fn drop_before(conn: &mut PgConnection, kept: Kept, before: Timestamp) -> Result<Vec<String>, Error> {
    sqlx::query_scalar!(
        r#"SELECT dropped AS "dropped!" FROM drop_partitions($1, $2) AS dropped"#,
        kept.table(),
        before.to_datetime()
    )
    .fetch_all(conn)
    .await
}

/// Deletes test sends that were made before `before`, with their attempts, at most 1,000. Answers how many.
pub async fn delete_tests(conn: &mut PgConnection, before: Timestamp) -> Result<u64, Error> {
    let done = sqlx::query!(
        "WITH old AS MATERIALIZED (
             SELECT message_id, run, matched_at FROM deliveries WHERE kind = 'test' AND matched_at < $1 LIMIT $2
         ), attempts AS (
             DELETE FROM delivery_attempts USING old
             WHERE delivery_attempts.message_id = old.message_id AND delivery_attempts.run = old.run
         )
         DELETE FROM deliveries USING old
         WHERE deliveries.message_id = old.message_id AND deliveries.run = old.run
             AND deliveries.matched_at = old.matched_at",
        before.to_datetime(),
        MAX_TESTS
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes what was counted of keys and tenants on days before `before` (UTC), at most 10,000 counts of each kind. Answers
/// how many.
pub async fn delete_usage(conn: &mut PgConnection, before: Timestamp) -> Result<u64, Error> {
    let day = before.to_datetime().date_naive();
    let of_keys = sqlx::query!(
        "DELETE FROM api_key_usage WHERE (key_id, day, route) IN (
             SELECT key_id, day, route FROM api_key_usage WHERE day < $1 ORDER BY day LIMIT $2)",
        day,
        MAX_USAGE
    )
    .execute(&mut *conn)
    .await?;
    let of_tenants = sqlx::query!(
        "DELETE FROM tenant_usage WHERE (tenant_id, day) IN (
             SELECT tenant_id, day FROM tenant_usage WHERE day < $1 ORDER BY day LIMIT $2)",
        day,
        MAX_USAGE
    )
    .execute(conn)
    .await?;
    Ok(of_keys.rows_affected() + of_tenants.rows_affected())
}
