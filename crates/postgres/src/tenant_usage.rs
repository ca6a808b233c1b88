//! Table `tenant_usage`: how many deliveries were begun for each tenant, by day (UTC).

use std::collections::HashSet;

use chrono::NaiveDate;
use postrider_domain::{TenantId, Timestamp};
use sqlx::{Error, PgConnection};

use crate::delivery_log::column;

/// Adds deliveries that were begun, each tenant's of a day once, in the order of the tenants. Answers the tenants that
/// are at or over their quota on `today` with them, and whose deliveries are not held until `held_until` yet.
pub async fn add(
    conn: &mut PgConnection,
    begun: &[Begun],
    today: NaiveDate,
    held_until: Timestamp,
) -> Result<Vec<TenantId>, Error> {
    let mut known = add_to_known(conn, begun, today, held_until).await?;
    let keys: HashSet<(&str, NaiveDate)> = known.iter().map(|row| (row.tenant_id.as_str(), row.day)).collect();
    let new: Vec<Begun> =
        begun.iter().filter(|(tenant, day, _)| !keys.contains(&(tenant.as_str(), *day))).cloned().collect();
    if !new.is_empty() {
        insert_empty(conn, &new).await?;
        known.extend(add_to_known(conn, &new, today, held_until).await?);
    }
    let mut over: Vec<TenantId> =
        known.into_iter().filter(|row| row.is_over).map(|row| TenantId::from_trusted(row.tenant_id)).collect();
    over.sort_unstable();
    Ok(over)
}

/// How many deliveries were begun for a tenant on a day.
type Begun = (TenantId, NaiveDate, i64);

/// What was added to.
struct Known {
    tenant_id: String,
    day: NaiveDate,
    /// Whether the tenant is now to be held.
    is_over: bool,
}

/// Adds to the rows that there are.
async fn add_to_known(
    conn: &mut PgConnection,
    begun: &[Begun],
    today: NaiveDate,
    held_until: Timestamp,
) -> Result<Vec<Known>, Error> {
    if begun.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        Known,
        r#"WITH known AS (
               UPDATE tenant_usage AS stored SET deliveries = stored.deliveries + added.deliveries
               FROM unnest($1::text[], $2::date[], $3::bigint[]) AS added (tenant_id, day, deliveries)
               WHERE stored.tenant_id = added.tenant_id AND stored.day = added.day
               RETURNING stored.tenant_id, stored.day, stored.deliveries
           )
           SELECT known.tenant_id AS "tenant_id!", known.day AS "day!",
               coalesce(known.day = $4 AND known.deliveries >= tenants.max_deliveries_per_day
                   AND (tenants.held_until IS NULL OR tenants.held_until < $5), false) AS "is_over!"
           FROM known LEFT JOIN tenants ON tenants.id = known.tenant_id"#,
        &column(begun, |(tenant, _, _)| tenant.as_str()) as &[&str],
        &column(begun, |(_, day, _)| *day),
        &column(begun, |(_, _, count)| *count),
        today,
        held_until.to_datetime(),
    )
    .fetch_all(conn)
    .await
}

/// Makes the rows of tenants and days that have none.
async fn insert_empty(conn: &mut PgConnection, begun: &[Begun]) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO tenant_usage (tenant_id, day, deliveries)
         SELECT tenant_id, day, 0 FROM unnest($1::text[], $2::date[]) AS new (tenant_id, day)
         ON CONFLICT DO NOTHING",
        &column(begun, |(tenant, _, _)| tenant.as_str()) as &[&str],
        &column(begun, |(_, day, _)| *day),
    )
    .execute(conn)
    .await?;
    Ok(())
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
