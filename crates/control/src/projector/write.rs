//! Writing one batch: rows and offset in one transaction.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use postrider_domain::{ErrorClass, TenantId, Timestamp};
use postrider_postgres::{
    Database, Error, PgConnection, dead_letters,
    delivery_log::{self, AttemptRow},
    endpoint_activity, plans, projector_offsets, rollups,
    security_events::{self, NewSecurityEvent},
};

use super::{
    batch::{Batch, Remembered},
    quota,
};
use crate::{manage::auto_disable, security::SecurityKind};

/// How long a range of held deliveries is kept: longer than anything is held, so longer than an event can come late.
const RANGES_KEPT: Duration = Duration::from_hours(32 * 24);

/// How long entries of the dead-letter queue are kept: as long as the queue keeps them, so that what is listed can be
/// delivered again.
const DEAD_LETTERS_KEPT: Duration = Duration::from_hours(30 * 24);

/// What came of writing a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// Rows and offset are committed.
    Done,
    /// Nothing was written: the stored offset is this one, not the expected one.
    Elsewhere(Option<i64>),
}

/// A partition, and how far a batch brings it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset that must be stored: where the batch begins.
    pub expected: Option<i64>,
    /// The offset after the batch.
    pub next: i64,
}

/// Writes `batch` and moves the partition's offset, all or nothing.
pub async fn write(pool: &Database, place: Place<'_>, batch: &Batch, now: Timestamp) -> Result<Written, Error> {
    let Place { topic, partition, expected, next } = place;
    let mut transaction = pool.begin().await?;
    plans::by_index(&mut transaction).await?;
    // Before any row: who comes second waits here, before it has touched a row.
    if !projector_offsets::compare_and_set(&mut transaction, topic, partition, expected, next).await? {
        transaction.rollback().await?;
        let mut connection = pool.acquire().await?;
        return Ok(Written::Elsewhere(projector_offsets::get(&mut connection, topic, partition).await?));
    }
    write_log(&mut transaction, batch).await?;
    // What comes before the stored offset has been counted by whoever wrote it.
    let since = expected.unwrap_or(0);
    rollups::insert_deltas(&mut transaction, &batch.counts.since(since)).await?;
    write_dead_letters(&mut transaction, batch).await?;
    for (endpoint, disabled) in &batch.disabled {
        auto_disable::fold(&mut transaction, &disabled.tenant, endpoint, &disabled.how, now).await?;
    }
    for (endpoint, remembered) in &batch.conditions {
        match remembered {
            Some(Remembered { tenant, condition }) => {
                endpoint_activity::set_condition(&mut transaction, tenant, endpoint, condition).await?;
            }
            None => endpoint_activity::clear_condition(&mut transaction, endpoint).await?,
        }
    }
    // Last: what many partitions add to is locked for as short as can be.
    endpoint_activity::add(&mut transaction, &batch.activity.since(since)).await?;
    quota::count(&mut transaction, &batch.begun.since(since), now).await?;
    let refused = refused_addresses(&batch.rows.attempts, since);
    if !refused.is_empty() {
        security_events::add(&mut transaction, &refused).await?;
    }
    transaction.commit().await?;
    Ok(Written::Done)
}

/// Writes attempts, deliveries and the ends of those that are held.
async fn write_log(conn: &mut PgConnection, batch: &Batch) -> Result<(), Error> {
    let mut deliveries = batch.rows.deliveries();
    let mut attempts = Cow::Borrowed(batch.rows.attempts.as_slice());
    let newest_range = batch.ranges.iter().map(|range| range.at).max();
    if let Some(at) = newest_range {
        delivery_log::lock_out_deliveries(conn).await?;
        delivery_log::forget_ranges(conn, at - RANGES_KEPT).await?;
    } else if !deliveries.is_empty() {
        delivery_log::lock_out_ranges(conn).await?;
    }
    if !batch.asides.is_empty() {
        let known = delivery_log::known_runs(conn, &batch.asides.of(&deliveries)).await?;
        let (stored, attempts_stored) = batch.asides.stored(&known, deliveries, &attempts);
        (deliveries, attempts) = (stored, Cow::Owned(attempts_stored));
    }
    delivery_log::insert_attempts(conn, &attempts).await?;
    delivery_log::upsert_deliveries(conn, &deliveries).await?;
    delivery_log::end_ranges(conn, &batch.ranges).await?;
    delivery_log::end_late(conn, &deliveries).await
}

/// Writes entries of the dead-letter queue, then what was done with them: a mark stands behind its entry.
async fn write_dead_letters(conn: &mut PgConnection, batch: &Batch) -> Result<(), Error> {
    if let Some(newest) = batch.letters.iter().map(|letter| letter.died_at).max() {
        dead_letters::forget_before(conn, newest - DEAD_LETTERS_KEPT).await?;
        dead_letters::insert(conn, &batch.letters).await?;
    }
    if !batch.marks.is_empty() {
        dead_letters::mark(conn, &batch.marks).await?;
    }
    Ok(())
}

/// The attempts at or after offset `since` that were refused because of where they led, as security events: one for each
/// tenant, with how many.
fn refused_addresses(attempts: &[AttemptRow], since: i64) -> Vec<NewSecurityEvent> {
    let mut refused: BTreeMap<&TenantId, NewSecurityEvent> = BTreeMap::new();
    let of_class = |attempt: &&AttemptRow| {
        attempt.log_offset >= since && attempt.error.as_deref() == Some(ErrorClass::AddressRefused.as_str())
    };
    for attempt in attempts.iter().filter(of_class) {
        let why = attempt.error_message.as_deref().unwrap_or("an address that deliveries may not reach");
        let event = refused.entry(&attempt.tenant).or_insert_with(|| NewSecurityEvent {
            at: attempt.started_at,
            last_at: attempt.started_at,
            count: 0,
            kind: SecurityKind::SsrfRefused.as_str(),
            tenant: Some(attempt.tenant.clone()),
            key: None,
            remote_addr: None,
            detail: format!("a delivery ({}): {why}", attempt.message_id),
        });
        event.at = event.at.min(attempt.started_at);
        event.last_at = event.last_at.max(attempt.started_at);
        event.count += 1;
    }
    refused.into_values().collect()
}

/// What to do when the stored offset is not the expected one.
#[derive(Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Another owner has written the whole batch: go on behind it.
    AlreadyWritten,
    /// Another owner has written a part of it, or nothing: write it from there.
    WriteFrom(Option<i64>),
    /// The database has lost what was written to it.
    Rewound,
}

/// Judges a `stored` offset that is not the `expected` one, for a batch that ends before `next`.
pub fn judge(expected: Option<i64>, stored: Option<i64>, next: i64) -> Conflict {
    if stored < expected {
        Conflict::Rewound
    } else if stored >= Some(next) {
        Conflict::AlreadyWritten
    } else {
        Conflict::WriteFrom(stored)
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{MessageId, Run};

    use super::*;

    #[test]
    fn a_conflict_is_judged_by_where_the_stored_offset_is() {
        let cases = [
            (Some(100), Some(120), 150, Conflict::WriteFrom(Some(120))),
            (Some(100), Some(150), 150, Conflict::AlreadyWritten),
            (Some(100), Some(170), 150, Conflict::AlreadyWritten),
            (None, Some(10), 150, Conflict::WriteFrom(Some(10))),
            (Some(100), Some(99), 150, Conflict::Rewound),
            (Some(100), None, 150, Conflict::Rewound),
        ];
        for (expected, stored, next, conflict) in cases {
            assert_eq!(judge(expected, stored, next), conflict, "{expected:?} {stored:?} {next}");
        }
    }

    #[test]
    fn attempts_that_led_inside_are_noted_once_for_each_tenant() {
        let attempt = |log_offset, tenant: &str, error: Option<ErrorClass>| AttemptRow {
            message_id: MessageId::from_trusted("msg_1"),
            run: Run::LIVE,
            log_partition: 0,
            log_offset,
            tenant: TenantId::from_trusted(tenant),
            attempt: 1,
            started_at: Timestamp::from_millis(7),
            duration_us: 5,
            status: None,
            error: error.map(|error| error.as_str().to_owned()),
            error_message: Some("the address 10.0.0.7 is not public".to_owned()),
            response_excerpt: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            phases: postrider_domain::delivery_event::Phases::default(),
        };
        let refused = Some(ErrorClass::AddressRefused);
        let attempts = [
            // Written before, by another owner.
            attempt(6, "ten_1", refused),
            attempt(7, "ten_1", refused),
            attempt(8, "ten_2", Some(ErrorClass::Dns)),
            attempt(9, "ten_1", refused),
            attempt(10, "ten_3", None),
            attempt(11, "ten_4", refused),
        ];
        let noted = refused_addresses(&attempts, 7);
        let counts: Vec<_> = noted.iter().map(|it| (it.tenant.as_ref().map(TenantId::as_str), it.count)).collect();
        assert_eq!(counts, [(Some("ten_1"), 2), (Some("ten_4"), 1)]);
        assert!(noted[0].detail.contains("10.0.0.7"));
    }
}
