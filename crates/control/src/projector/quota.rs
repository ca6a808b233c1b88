//! How many deliveries were begun for each tenant on each day, and what follows when there are too many.
//!
//! Counted in the transaction of the rows, so each delivery once. A tenant past its quota is held until the day is over:
//! that is published like any change of a tenant, and the dispatchers hold what comes for its endpoints. What is under
//! way until they know is delivered, so a quota can be passed by that much.

use std::{collections::BTreeMap, time::Duration};

use chrono::NaiveDate;
use postrider_domain::{DeliveryKind, TenantId, Timestamp};
use postrider_postgres::{Error, PgConnection, tenant_usage};

use super::rows::Rows;
use crate::manage::tenants::hold_for_quota;

const DAY: Duration = Duration::from_hours(24);

/// Counts what a batch began, and holds who is over a quota with it.
pub(super) async fn count(conn: &mut PgConnection, rows: &Rows, now: Timestamp) -> Result<(), Error> {
    let begun = begun(rows);
    if begun.is_empty() {
        return Ok(());
    }
    let begun: Vec<_> = begun.into_iter().map(|((tenant, day), count)| (tenant, day, count)).collect();
    let until = next_day(now);
    for tenant in tenant_usage::add(conn, &begun, now.to_datetime().date_naive(), until).await? {
        hold_for_quota(conn, &tenant, until, now).await?;
    }
    Ok(())
}

/// The first attempts of deliveries that are no test, by tenant and day.
fn begun(rows: &Rows) -> BTreeMap<(TenantId, NaiveDate), i64> {
    let mut begun = BTreeMap::new();
    for attempt in rows.attempts.iter().filter(|attempt| attempt.attempt == 1) {
        if rows.kind_of(attempt) == Some(DeliveryKind::Live) {
            let day = attempt.started_at.to_datetime().date_naive();
            *begun.entry((attempt.tenant.clone(), day)).or_insert(0) += 1;
        }
    }
    begun
}

/// When the day of `now` (UTC) is over.
fn next_day(now: Timestamp) -> Timestamp {
    let day_millis = i64::try_from(DAY.as_millis()).expect("a day's milliseconds fit");
    Timestamp::from_millis((now.as_millis().div_euclid(day_millis) + 1) * day_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight() {
        let at = |text| Timestamp::parse_rfc3339(text).unwrap();
        for (now, end) in [
            ("2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2026-01-31T23:59:59.999Z", "2026-02-01T00:00:00Z"),
            ("2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(next_day(at(now)), at(end), "{now}");
        }
    }
}
