//! Writing one batch: rows and offset in one transaction.

use postrider_postgres::{Error, PgPool, delivery_log, projector_offsets};

use super::rows::Rows;

/// What came of writing a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// Rows and offset are committed.
    Done,
    /// Nothing was written: the stored offset is this one, not the expected one.
    Elsewhere(Option<i64>),
}

/// Writes `rows` and moves the partition's offset from `expected` to `next`, all or nothing.
pub async fn write(
    pool: &PgPool,
    topic: &str,
    partition: i32,
    expected: Option<i64>,
    next: i64,
    rows: &Rows,
) -> Result<Written, Error> {
    let mut transaction = pool.begin().await?;
    // First of all: who comes second waits here, before it has touched a row.
    if !projector_offsets::compare_and_set(&mut transaction, topic, partition, expected, next).await? {
        transaction.rollback().await?;
        let mut connection = pool.acquire().await?;
        return Ok(Written::Elsewhere(projector_offsets::get(&mut connection, topic, partition).await?));
    }
    delivery_log::insert_attempts(&mut transaction, &rows.attempts).await?;
    delivery_log::upsert_deliveries(&mut transaction, &rows.deliveries()).await?;
    transaction.commit().await?;
    Ok(Written::Done)
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
