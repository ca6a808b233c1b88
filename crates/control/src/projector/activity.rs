//! What attempts come to for each endpoint.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use postrider_domain::{
    DeliveryEvent, DeliveryEventBody, DeliveryKind, EndpointId,
    delivery_event::{AfterAttempt, Attempted},
    health::{Activity, Tried},
};
use postrider_postgres::endpoint_activity::{ActivityRow, LastError};

/// What came of the attempts of a batch, each with the offset of its record.
#[derive(Debug, Default)]
pub struct Activities(Vec<(i64, ActivityRow)>);

impl Activities {
    /// Adds an event that was read at `offset`. Test sends do not count, nor does an attempt that counts for nobody.
    pub fn add(&mut self, offset: i64, event: &DeliveryEvent) {
        if event.kind == DeliveryKind::Test {
            return;
        }
        if let DeliveryEventBody::Attempted(attempted) = &event.body
            && attempted.next != AfterAttempt::Parked
        {
            self.0.push((offset, attempted_row(event, attempted)));
        }
    }

    /// A row for each endpoint, in the order of their ids, of what was read at `from` or behind: what comes before has
    /// been counted by whoever wrote it.
    pub fn since(&self, from: i64) -> Vec<ActivityRow> {
        let mut rows: BTreeMap<EndpointId, ActivityRow> = BTreeMap::new();
        for (_, row) in self.0.iter().filter(|(offset, _)| *offset >= from) {
            match rows.entry(row.endpoint.clone()) {
                Entry::Vacant(vacant) => drop(vacant.insert(row.clone())),
                Entry::Occupied(mut occupied) => merge(occupied.get_mut(), row.clone()),
            }
        }
        rows.into_values().collect()
    }
}

fn attempted_row(event: &DeliveryEvent, attempted: &Attempted) -> ActivityRow {
    let success = attempted.next == AfterAttempt::Delivered;
    let took = Duration::from_micros(attempted.duration_us.unsigned_abs());
    let at = attempted.started_at + took;
    let tried = Tried { at, success, answered_after: attempted.status.map(|_| took) };
    let storable = |text: &String| text.replace('\0', "\u{fffd}");
    ActivityRow {
        endpoint: event.endpoint.clone(),
        tenant: event.tenant.clone(),
        attempts: 1,
        delivered: i64::from(success),
        dead_lettered: i64::from(attempted.next == AfterAttempt::DeadLetter),
        last_attempt_at: at,
        last_success_at: success.then_some(at),
        last_error: attempted.error.map(|error| LastError {
            at,
            class: error.as_str().to_owned(),
            status: attempted.status,
            message: attempted.error_message.as_ref().map(storable),
        }),
        weighed: Activity::of(&tried),
    }
}

/// Adds `more`, by the rule by which the database does it too.
fn merge(row: &mut ActivityRow, more: ActivityRow) {
    row.attempts += more.attempts;
    row.delivered += more.delivered;
    row.dead_lettered += more.dead_lettered;
    row.last_attempt_at = row.last_attempt_at.max(more.last_attempt_at);
    row.last_success_at = row.last_success_at.max(more.last_success_at);
    row.weighed = row.weighed.merged(more.weighed);
    let at = |error: &Option<LastError>| error.as_ref().map(|error| error.at);
    if more.last_error.is_some() && at(&more.last_error) >= at(&row.last_error) {
        row.last_error = more.last_error;
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{ErrorClass, Timestamp};

    use super::*;
    use crate::projector::tests::delivered;

    fn failed(number: i64, at: i64) -> DeliveryEvent {
        let mut event = delivered(number);
        if let DeliveryEventBody::Attempted(attempted) = &mut event.body {
            attempted.started_at = Timestamp::from_millis(at);
            attempted.next = AfterAttempt::DeadLetter;
            attempted.error = Some(ErrorClass::Timeout);
            attempted.status = None;
        }
        event
    }

    #[test]
    fn what_another_owner_has_counted_is_not_counted_again() {
        let mut activities = Activities::default();
        for (offset, event) in (7..).zip([delivered(1), failed(2, 500), failed(3, 400), delivered(4)]) {
            activities.add(offset, &event);
        }
        let counts = |from| {
            let rows = activities.since(from);
            rows.iter().map(|row| (row.attempts, row.delivered, row.dead_lettered)).collect::<Vec<_>>()
        };
        assert_eq!((counts(0), counts(9), counts(11)), (vec![(4, 2, 2)], vec![(2, 1, 1)], vec![]));
        let last_error = activities.since(0).remove(0).last_error.expect("two failed");
        assert_eq!((last_error.class.as_str(), last_error.status), ("timeout", None));
        assert!(last_error.at >= Timestamp::from_millis(500), "the later of both");
    }
}
