//! Writing one batch: rows and offset in one transaction.

use std::{borrow::Cow, time::Duration};

use postrider_domain::Timestamp;
use postrider_postgres::{
    Database, Error, PgConnection, delivery_log, endpoint_activity, plans, projector_offsets, rollups,
};

use super::batch::{Batch, Remembered};
use crate::manage::auto_disable;

/// How long a range of held deliveries is kept: longer than anything is held, so longer than an event can come late.
const RANGES_KEPT: Duration = Duration::from_hours(32 * 24);

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
    rollups::insert_deltas(&mut transaction, &batch.counts.since(expected.unwrap_or(0))).await?;
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
    endpoint_activity::add(&mut transaction, &batch.activity.since(expected.unwrap_or(0))).await?;
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
}
