//! Counting what waits.

use sqlx::{Error, PgConnection};

use crate::{plans, rollups::Subject};

/// How many deliveries wait in each way, as far as they were counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingCounts {
    /// Put aside for a short while.
    pub waiting: i64,
    /// Put aside until their endpoint has room.
    pub held: i64,
    /// To be tried again.
    pub retrying: i64,
    /// Whether there may be more: counting stops at `limit`.
    pub more: bool,
}

/// Counts what waits of all, of a tenant, or of one of its endpoints: of each kind `limit` at most.
///
/// To be called in a transaction, since it changes how this one plans: whatever is asked, one plan serves, and making it
/// takes much longer than following it.
pub async fn pending(conn: &mut PgConnection, subject: Subject<'_>, limit: i64) -> Result<PendingCounts, Error> {
    plans::once(conn).await?;
    // Each with the partial index's own condition, so that the plan may use it.
    let counts = match subject {
        Subject::Deployment => {
            sqlx::query_as!(
                StatusCount,
                r#"SELECT it.status AS "status!", (
                   SELECT count(*) FROM (
                       SELECT FROM deliveries
                       WHERE status = it.status
                           AND status IN ('waiting', 'held', 'retrying')
                       LIMIT $1) AS counted) AS "count!"
               FROM unnest(ARRAY['waiting', 'held', 'retrying']) AS it (status)"#,
                limit
            )
            .fetch_all(conn)
            .await?
        }
        Subject::Tenant(tenant) => {
            sqlx::query_as!(
                StatusCount,
                r#"SELECT it.status AS "status!", (
                   SELECT count(*) FROM (
                       SELECT FROM deliveries
                       WHERE tenant_id = $2 AND status = it.status
                           AND status IN ('waiting', 'held', 'retrying')
                       LIMIT $1) AS counted) AS "count!"
               FROM unnest(ARRAY['waiting', 'held', 'retrying']) AS it (status)"#,
                limit,
                tenant.as_str()
            )
            .fetch_all(conn)
            .await?
        }
        Subject::Endpoint(tenant, endpoint) => {
            sqlx::query_as!(
                StatusCount,
                r#"SELECT it.status AS "status!", (
                   SELECT count(*) FROM (
                       SELECT FROM deliveries
                       WHERE tenant_id = $2 AND endpoint_id = $3 AND status = it.status
                           AND status IN ('waiting', 'held', 'retrying')
                       LIMIT $1) AS counted) AS "count!"
               FROM unnest(ARRAY['waiting', 'held', 'retrying']) AS it (status)"#,
                limit,
                tenant.as_str(),
                endpoint.as_str()
            )
            .fetch_all(conn)
            .await?
        }
    };
    let of = |status: &str| counts.iter().find(|it| it.status == status).map_or(0, |it| it.count);
    Ok(PendingCounts {
        waiting: of("waiting"),
        held: of("held"),
        retrying: of("retrying"),
        more: counts.iter().any(|it| it.count >= limit),
    })
}

struct StatusCount {
    status: String,
    count: i64,
}
