//! Which endpoints fail most.

use postrider_domain::{EndpointId, TenantId, rollup::Segment};
use sqlx::{Error, PgConnection};

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

/// How many tenants are looked into at first where all are asked about, and by how much more with each step.
const FIRST_TENANTS: usize = 1;
const MORE_TENANTS: usize = 8;

/// The endpoints of `tenant` (none: of all) of which most attempts failed, at most `limit`. Where as many failed, that
/// with more deliveries in the dead-letter queue comes first.
///
/// To be called in a transaction, since it changes how this one plans.
pub async fn failing(
    conn: &mut PgConnection,
    tenant: Option<&TenantId>,
    segment: Segment,
    limit: usize,
) -> Result<Vec<FailingEndpoint>, Error> {
    plans::by_value(conn).await?;
    if let Some(tenant) = tenant {
        return of_tenants(conn, &[tenant.to_string()], segment, limit).await;
    }
    let (tenants, most): (Vec<String>, Vec<i64>) = failing_tenants(conn, segment).await?.into_iter().unzip();
    let (mut found, mut seen, mut more) = (Vec::new(), 0, FIRST_TENANTS);
    while seen < tenants.len() && !is_decided(&found, limit, most[seen]) {
        let next = tenants.len().min(seen + more);
        found.extend(of_tenants(conn, &tenants[seen..next], segment, limit).await?);
        found.sort_by(|a: &FailingEndpoint, b| {
            (b.failed_attempts, b.failed, &a.endpoint).cmp(&(a.failed_attempts, a.failed, &b.endpoint))
        });
        found.truncate(limit);
        (seen, more) = (next, more * MORE_TENANTS);
    }
    Ok(found)
}

/// Whether no endpoint of a tenant of which `most` attempts failed can be among the first `limit`.
fn is_decided(found: &[FailingEndpoint], limit: usize, most: i64) -> bool {
    found.len() >= limit && found.last().is_none_or(|last| last.failed_attempts > most)
}

/// The tenants of which something failed, and how many attempts: those with the most first.
async fn failing_tenants(conn: &mut PgConnection, segment: Segment) -> Result<Vec<(String, i64)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, sum(failed_attempts)::bigint AS "failed_attempts!"
           FROM rollups
           WHERE grain = $1 AND bucket >= $2 AND bucket < $3
               AND tenant_id <> '' AND endpoint_id = '' AND event_type = '' AND (failed_attempts > 0 OR failed > 0)
           GROUP BY tenant_id
           ORDER BY sum(failed_attempts) DESC, tenant_id"#,
        segment.grain.as_str(),
        segment.from.to_datetime(),
        segment.to.to_datetime()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id, row.failed_attempts)).collect())
}

/// The endpoints of these tenants of which most attempts failed.
async fn of_tenants(
    conn: &mut PgConnection,
    tenants: &[String],
    segment: Segment,
    limit: usize,
) -> Result<Vec<FailingEndpoint>, Error> {
    let rows = sqlx::query!(
        r#"WITH worst AS MATERIALIZED (
               SELECT tenant_id, endpoint_id, sum(failed_attempts) AS failed_attempts, sum(failed) AS failed
               FROM rollups
               WHERE grain = $1 AND tenant_id = ANY($2::text[]) AND bucket >= $3 AND bucket < $4
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
        tenants,
        segment.from.to_datetime(),
        segment.to.to_datetime(),
        i64::try_from(limit).unwrap_or(i64::MAX)
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
