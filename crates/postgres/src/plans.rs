//! How the statements of one transaction are planned, and how long they may take.

use sqlx::{Error, PgConnection};

/// Has every statement of this transaction find its rows by index, in the order in which it is given what to look for. A
/// plan is made once and used for thousands of batches: made while the day's partition was empty, it would read all of it
/// for each row of the last.
pub async fn by_index(conn: &mut PgConnection) -> Result<(), Error> {
    sqlx::query_scalar!(
        r#"SELECT set_config('enable_seqscan', 'off', true) IS NOT NULL
               AND set_config('enable_hashjoin', 'off', true) IS NOT NULL
               AND set_config('enable_mergejoin', 'off', true) IS NOT NULL AS "set!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// For how long one statement may look for what passes a filter that nothing has an index for: whoever asked has been
/// answered by then, and the connection is wanted.
const LONGEST_SEARCH: &str = "25s";

/// Has every statement of this transaction planned for the values that it is given: where filters are optional and tables
/// have partitions, only such a plan uses the right index of the right partition. It uses one wherever there is one: how
/// many rows pass several conditions at once is estimated far too high or too low. None may take long
/// ([`took_too_long`](crate::took_too_long)).
pub async fn by_value(conn: &mut PgConnection) -> Result<(), Error> {
    searching(conn, "force_custom_plan").await
}

/// Has every statement of this transaction planned once for its connection, whatever the values: where tables have many
/// partitions, planning takes much longer than looking into the indexes of each. Otherwise as [`by_value`].
pub async fn once(conn: &mut PgConnection) -> Result<(), Error> {
    searching(conn, "force_generic_plan").await
}

async fn searching(conn: &mut PgConnection, plan_cache_mode: &str) -> Result<(), Error> {
    sqlx::query_scalar!(
        r#"SELECT set_config('plan_cache_mode', $1, true) IS NOT NULL
               AND set_config('enable_seqscan', 'off', true) IS NOT NULL
               AND set_config('statement_timeout', $2, true) IS NOT NULL AS "set!""#,
        plan_cache_mode,
        LONGEST_SEARCH
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{connect, connect_service, is_unavailable, local::LocalPostgres, migrate, took_too_long};

    #[tokio::test]
    async fn a_search_that_takes_too_long_ends_and_says_so() {
        let server = LocalPostgres::start(None).await.unwrap();
        migrate(&connect(&server.create_database("plans").await.unwrap(), 1).await.unwrap()).await.unwrap();
        let service = connect_service(&server.service_url("plans"), 1).await.unwrap();
        let mut transaction = service.begin().await.unwrap();
        by_value(&mut transaction).await.unwrap();
        let limit: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(limit, LONGEST_SEARCH);
        sqlx::query("SET LOCAL statement_timeout = '1ms'").execute(&mut *transaction).await.unwrap();
        let ended = sqlx::query("SELECT pg_sleep(30)").execute(&mut *transaction).await.unwrap_err();
        assert!(took_too_long(&ended) && !is_unavailable(&ended), "{ended}");
        drop(transaction);
        let mut conn = service.acquire().await.unwrap();
        let limit: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut *conn).await.unwrap();
        assert_eq!(limit, "0", "others may take as long as they need");
    }
}
