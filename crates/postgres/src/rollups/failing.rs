//! Which endpoints fail most.

use postrider_domain::{EndpointId, TenantId, rollup::Segment};
use sqlx::{Error, PgConnection};

use super::row::tenant_text;
use crate::plans;

/// An endpoint that failed, and what was counted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingEndpoint {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub endpoint: EndpointId,
    /// Its name; none if it is deleted.
    pub name: Option<String>,
    /// Requests to it.
    pub attempts: i64,
    /// Those that failed.
    pub failed_attempts: i64,
    /// Deliveries to it.
    pub delivered: i64,
    /// Deliveries to it that went to the dead-letter queue.
    pub failed: i64,
}

/// The endpoints of `tenant` (none: of all) of which most attempts failed, at most `limit`. Where as many failed, that
/// with more deliveries in the dead-letter queue comes first.
///
/// To be called in a transaction, since it changes how this one plans.
pub async fn failing(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    segment: Segment,
    limit: i64,
) -> Result<Vec<FailingEndpoint>, Error> {
    plans::by_value(conn).await?;
    let rows = sqlx::query!(
        r#"WITH worst AS MATERIALIZED (
               SELECT tenant_id, endpoint_id, sum(failed_attempts) AS failed_attempts, sum(failed) AS failed
               FROM rollups
               WHERE grain = $1 AND ($2::text = '' OR tenant_id = $2) AND bucket >= $3 AND bucket < $4
                   AND endpoint_id <> '' AND (failed_attempts > 0 OR failed > 0)
               GROUP BY tenant_id, endpoint_id
               ORDER BY sum(failed_attempts) DESC, sum(failed) DESC, endpoint_id
               LIMIT $5
           )
           SELECT worst.tenant_id AS "tenant_id!", worst.endpoint_id AS "endpoint_id!", endpoints.name AS "name?",
               counted.attempts AS "attempts!", worst.failed_attempts::bigint AS "failed_attempts!",
               counted.delivered AS "delivered!", worst.failed::bigint AS "failed!"
           FROM worst
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(attempts), 0)::bigint AS attempts, coalesce(sum(delivered), 0)::bigint AS delivered
               FROM rollups
               WHERE grain = $1 AND rollups.tenant_id = worst.tenant_id AND rollups.endpoint_id = worst.endpoint_id
                   AND bucket >= $3 AND bucket < $4
           ) AS counted
           LEFT JOIN endpoints ON endpoints.tenant_id = worst.tenant_id AND endpoints.id = worst.endpoint_id
           ORDER BY worst.failed_attempts DESC, worst.failed DESC, worst.endpoint_id"#,
        segment.grain.as_str(),
        tenant_text(tenant),
        segment.from.to_datetime(),
        segment.to.to_datetime(),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| FailingEndpoint {
            tenant: TenantId::from_trusted(row.tenant_id),
            endpoint: EndpointId::from_trusted(row.endpoint_id),
            name: row.name,
            attempts: row.attempts,
            failed_attempts: row.failed_attempts,
            delivered: row.delivered,
            failed: row.failed,
        })
        .collect())
}
