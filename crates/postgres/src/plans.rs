//! How the statements of one transaction are planned.

use sqlx::{Error, PgConnection};

/// Has every statement of this transaction find its rows by index. A plan is made once and used for thousands of batches:
/// made while the day's partition was empty, it would read all of it for each row of the last.
pub async fn by_index(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SET LOCAL enable_seqscan = off").execute(conn).await?;
    Ok(())
}

/// Has every statement of this transaction planned for the values that it is given: where filters are optional and tables
/// have partitions, only such a plan uses the right index of the right partition.
pub async fn by_value(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SET LOCAL plan_cache_mode = force_custom_plan").execute(conn).await?;
    Ok(())
}
