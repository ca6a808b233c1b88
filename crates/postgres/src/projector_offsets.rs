//! How far the projector has written each partition of a topic into the log.

use std::collections::HashMap;

use sqlx::{Error, PgConnection};

/// The offset that comes next in each of `partitions` of `topic`; absent where nothing was written yet.
pub async fn get_all(conn: &mut PgConnection, topic: &str, partitions: &[i32]) -> Result<HashMap<i32, i64>, Error> {
    let rows = sqlx::query!(
        "SELECT partition, next_offset FROM projector_offsets WHERE topic = $1 AND partition = ANY($2)",
        topic,
        partitions
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.partition, row.next_offset)).collect())
}

/// The offset that comes next in one partition; none where nothing was written yet.
pub async fn get(conn: &mut PgConnection, topic: &str, partition: i32) -> Result<Option<i64>, Error> {
    sqlx::query_scalar!(
        "SELECT next_offset FROM projector_offsets WHERE topic = $1 AND partition = $2",
        topic,
        partition
    )
    .fetch_optional(conn)
    .await
}

/// Moves a partition's offset to `next`, provided that it still is `expected` (none: that there is none).
/// False if it is not: somebody else has written this partition, and the transaction must be rolled back.
pub async fn compare_and_set(
    conn: &mut PgConnection,
    topic: &str,
    partition: i32,
    expected: Option<i64>,
    next: i64,
) -> Result<bool, Error> {
    let done = match expected {
        Some(expected) => {
            sqlx::query!(
                "UPDATE projector_offsets SET next_offset = $4
                 WHERE topic = $1 AND partition = $2 AND next_offset = $3",
                topic,
                partition,
                expected,
                next
            )
            .execute(conn)
            .await?
        }
        None => {
            sqlx::query!(
                "INSERT INTO projector_offsets (topic, partition, next_offset) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
                topic,
                partition,
                next
            )
            .execute(conn)
            .await?
        }
    };
    Ok(done.rows_affected() == 1)
}
