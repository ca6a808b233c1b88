//! Connecting, and bringing the schema up to date.

use std::{collections::HashSet, str::FromStr, time::Duration};

use sqlx::{
    Connection as _, Error, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::database::SERVICE_ROLE;

/// How long a caller waits for a connection before the database counts as unavailable.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why there is no connection. Never shows the password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL can't be read.
    #[error("the Postgres URL can't be read (expected postgres://user:password@host:5432/database): {0}")]
    Url(#[source] Error),
    /// Nothing answers, or it refuses us.
    #[error(
        "can't connect to Postgres at {host}: {source}; check that it runs and that the URL's user and database exist"
    )]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the attempt ended with.
        source: Error,
    },
    /// The user may not work as the service.
    #[error(
        "the Postgres user '{user}' is no member of the role {SERVICE_ROLE}: let the database's owner run \
         `GRANT {SERVICE_ROLE} TO \"{user}\"`"
    )]
    NoMember {
        /// The user.
        user: String,
    },
}

/// Opens a pool of at most `max_connections` with all rights of the URL's user, after one connection was made to see
/// that it can be. For migrations; the service uses [`connect_service`](crate::connect_service).
pub async fn connect(url: &str, max_connections: u32) -> Result<PgPool, ConnectError> {
    let options = options(url)?;
    let host = host(&options);
    reach(&options).await?.close().await.map_err(|source| ConnectError::Unreachable { host, source })?;
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

/// What a URL says.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, ConnectError> {
    Ok(PgConnectOptions::from_str(url).map_err(ConnectError::Url)?.application_name("postrider"))
}

/// Connects once: a pool would try again until its time is up, and then only say that it is.
pub(crate) async fn reach(options: &PgConnectOptions) -> Result<PgConnection, ConnectError> {
    let reached = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await;
    reached
        .unwrap_or(Err(Error::PoolTimedOut))
        .map_err(|source| ConnectError::Unreachable { host: host(options), source })
}

/// Host and port, for messages.
pub(crate) fn host(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}

/// Applies the migrations that the database does not have yet.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATIONS.run(pool).await
}

/// The names of the migrations that the database does not have yet; empty when it is current.
pub async fn pending_migrations(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    // One who may not read the table works with a database from before the service had a role of its own.
    let known = sqlx::query_scalar!(
        r#"SELECT coalesce(has_table_privilege(to_regclass('_sqlx_migrations'), 'SELECT'), false) AS "known!""#
    )
    .fetch_one(&mut *conn)
    .await?;
    // Not a checked query: the migrator makes this table, no migration does.
    let applied: HashSet<i64> = if known {
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(conn)
            .await?
            .into_iter()
            .collect()
    } else {
        HashSet::new()
    };
    Ok(MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04}_{}", migration.version, migration.description.replace(' ', "_")))
        .collect())
}

/// Whether an error means that a statement took longer than it may.
pub fn took_too_long(error: &Error) -> bool {
    // query_canceled
    matches!(error, Error::Database(error) if error.code().is_some_and(|code| code == "57014"))
}

/// Whether an error means that the database can't be reached now, so that trying again may help.
pub fn is_unavailable(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed | Error::Protocol(_) => true,
        // Class 57P: shutting down, crash recovery; class 08: connection exceptions; 53: too many connections.
        Error::Database(error) => {
            error.code().is_some_and(|code| ["57P", "08", "53"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}
