//! SQL as text, for what fills and looks into a throwaway server.

use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection, Row as _};

/// Runs statements in the database of `url`; answers the first column of every row, which must be text.
pub async fn run_script(url: &str, sql: &str) -> Result<Vec<String>, Error> {
    let mut connection = PgConnection::connect(url).await?;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await?;
    connection.close().await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
