//! How many deliveries were begun for each tenant on each day, and what follows when there are too many.
//!
//! Counted in the transaction of the rows, so each delivery once. A tenant past its quota is held until the day is over:
//! that is published like any change of a tenant, and the dispatchers hold what comes for its endpoints. What is under
//! way until they know is delivered, so a quota can be passed by that much.

use std::{collections::BTreeMap, time::Duration};

use chrono::NaiveDate;
use postrider_domain::{
    Attempt, DeliveryEvent, DeliveryEventBody, DeliveryKind, TenantId, Timestamp, delivery_event::AfterAttempt,
};
use postrider_postgres::{Error, PgConnection, tenant_usage};

use crate::manage::tenants::hold_for_quota;

const DAY: Duration = Duration::from_hours(24);

/// What records say of deliveries that were begun, each with the offset of its record.
#[derive(Debug, Default)]
pub struct Begun(Vec<(i64, TenantId, NaiveDate)>);

impl Begun {
    /// Adds an event that was read at `offset`: a delivery is begun by its first attempt. Not a test, nor an attempt that
    /// counts for nobody, since that one comes again under its number.
    pub fn add(&mut self, offset: i64, event: &DeliveryEvent) {
        if event.kind == DeliveryKind::Live
            && event.attempt == Attempt::FIRST
            && let DeliveryEventBody::Attempted(attempted) = &event.body
            && attempted.next != AfterAttempt::Parked
        {
            self.0.push((offset, event.tenant.clone(), attempted.started_at.to_datetime().date_naive()));
        }
    }

    /// How many for each tenant on each day, in that order, of what was read at `from` or behind: what comes before has
    /// been counted by whoever wrote it.
    pub fn since(&self, from: i64) -> Vec<(TenantId, NaiveDate, i64)> {
        let mut counts: BTreeMap<(&TenantId, NaiveDate), i64> = BTreeMap::new();
        for (_, tenant, day) in self.0.iter().filter(|(offset, ..)| *offset >= from) {
            *counts.entry((tenant, *day)).or_default() += 1;
        }
        counts.into_iter().map(|((tenant, day), count)| (tenant.clone(), day, count)).collect()
    }
}

/// Counts what was begun, and holds who is over a quota with it.
pub(super) async fn count(
    conn: &mut PgConnection,
    begun: &[(TenantId, NaiveDate, i64)],
    now: Timestamp,
) -> Result<(), Error> {
    if begun.is_empty() {
        return Ok(());
    }
    let until = next_day(now);
    for tenant in tenant_usage::add(conn, begun, now.to_datetime().date_naive(), until).await? {
        hold_for_quota(conn, &tenant, until, now).await?;
    }
    Ok(())
}

/// When the day of `now` (UTC) is over.
fn next_day(now: Timestamp) -> Timestamp {
    let day_millis = i64::try_from(DAY.as_millis()).expect("a day's milliseconds fit");
    Timestamp::from_millis((now.as_millis().div_euclid(day_millis) + 1) * day_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::tests::delivered;

    #[test]
    fn a_delivery_is_begun_once_whoever_writes_it_and_however_often_nothing_could_leave() {
        let parked = || {
            let mut event = delivered(1);
            if let DeliveryEventBody::Attempted(attempted) = &mut event.body {
                attempted.next = AfterAttempt::Parked;
            }
            event
        };
        let again = DeliveryEvent { attempt: Attempt::FIRST.next(), ..delivered(1) };
        let test = DeliveryEvent { kind: DeliveryKind::Test, ..delivered(2) };
        let mut begun = Begun::default();
        for (offset, event) in (0..).zip([delivered(0), parked(), parked(), delivered(1), again, test]) {
            begun.add(offset, &event);
        }
        let counts = |from| begun.since(from).iter().map(|(_, _, count)| *count).collect::<Vec<_>>();
        assert_eq!((counts(0), counts(1), counts(4)), (vec![2], vec![1], vec![]));
    }

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
