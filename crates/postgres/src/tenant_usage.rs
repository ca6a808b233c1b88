//! Table `tenant_usage`: how many deliveries were begun for each tenant, by day (UTC).

use chrono::NaiveDate;
use postrider_domain::{TenantId, Timestamp};
use sqlx::{Error, PgConnection};

/// Adds deliveries that were begun, in the order of the tenants. Answers the tenants that are at or over their quota on
/// `today` with them, and whose deliveries are not held until `held_until` yet.
pub async fn add(
    conn: &mut PgConnection,
    begun: &[(TenantId, NaiveDate, i64)],
    today: NaiveDate,
    held_until: Timestamp,
) -> Result<Vec<TenantId>, Error> {
    let tenants: Vec<String> = begun.iter().map(|(tenant, _, _)| tenant.to_string()).collect();
    let days: Vec<NaiveDate> = begun.iter().map(|(_, day, _)| *day).collect();
    let counts: Vec<i64> = begun.iter().map(|(_, _, count)| *count).collect();
    let over = sqlx::query_scalar!(
        r#"WITH added AS (
               INSERT INTO tenant_usage (tenant_id, day, deliveries)
               SELECT * FROM UNNEST($1::text[], $2::date[], $3::bigint[])
               ON CONFLICT (tenant_id, day) DO UPDATE SET deliveries = tenant_usage.deliveries + excluded.deliveries
               RETURNING tenant_id, day, deliveries
           )
           SELECT t.id FROM added JOIN tenants t ON t.id = added.tenant_id
           WHERE added.day = $4 AND added.deliveries >= t.max_deliveries_per_day
             AND (t.held_until IS NULL OR t.held_until < $5)
           ORDER BY t.id"#,
        &tenants,
        &days,
        &counts,
        today,
        held_until.to_datetime(),
    )
    .fetch_all(conn)
    .await?;
    Ok(over.into_iter().map(TenantId::from_trusted).collect())
}

/// How many deliveries were begun for a tenant on a day.
pub async fn get(conn: &mut PgConnection, tenant: &TenantId, day: NaiveDate) -> Result<i64, Error> {
    let found = sqlx::query_scalar!(
        "SELECT deliveries FROM tenant_usage WHERE tenant_id = $1 AND day = $2",
        tenant.as_str(),
        day,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.unwrap_or_default())
}
