//! The database as the service uses it: as a role that owns nothing, seeing what a caller may see.
//!
//! Row-level security is the second wall between tenants: behind the tenant that every query takes, the transaction
//! says whose rows there are at all. A query that forgets its tenant then finds the tenant's own rows, or none.

use std::time::Duration;

use postrider_domain::TenantId;
use sqlx::{
    AssertSqlSafe, Connection as _, Error, Executor as _, PgConnection, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::connect::{ACQUIRE_TIMEOUT, ConnectError, host, options, pending_migrations, reach};

/// The role that owns nothing. Migrations make it and grant it what the service needs.
pub const SERVICE_ROLE: &str = "postrider_service";

/// A connection that was used so shortly ago is taken to be alive.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How the service comes to be without the rights of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    /// It logs in as a role that has none.
    Login,
    /// It logs in as one that could pass row-level security, and gives that up on each connection.
    RoleSet,
    /// There is no row-level security yet: it comes with the migrations.
    Missing,
}

/// A pool of connections that see what they are asked for. Clones share it.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    wall: Wall,
    pending_migrations: Vec<String>,
}

/// Opens a pool of at most `max_connections` for the service, after one connection was made to see that it can be,
/// and that it can't pass row-level security.
pub async fn connect_service(url: &str, max_connections: u32) -> Result<Database, ConnectError> {
    let options = options(url)?;
    let (wall, pending_migrations) = look(&options).await?;
    let give_up_rights = wall == Wall::RoleSet;
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Asking costs a round trip, which most requests would make several times.
        .test_before_acquire(false)
        .before_acquire(|conn, at| {
            Box::pin(async move {
                if at.idle_for >= TRUSTED_FOR {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |conn, _| {
            Box::pin(async move {
                if give_up_rights {
                    conn.execute("SET ROLE postrider_service").await?;
                }
                // Compiling a plan takes longer than any of these statements.
                conn.execute("SET postrider.tenant = '*'; SET jit = off").await?;
                Ok(())
            })
        })
        .connect_lazy_with(options);
    Ok(Database { pool, wall, pending_migrations })
}

impl Database {
    /// A transaction that sees what one tenant owns and what belongs to no tenant, and nothing else. For reading too:
    /// dropping it ends it.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Transaction<'static, Postgres>, Error> {
        let quoted = tenant.as_str().replace('\'', "''");
        // In one message, so that it costs no more than a plain BEGIN.
        self.pool.begin_with(AssertSqlSafe(format!("BEGIN; SET LOCAL postrider.tenant = '{quoted}'"))).await
    }

    /// A transaction that sees the whole deployment: for operators and for what works for all tenants.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.pool.begin().await
    }

    /// A transaction that sees what a tenant owns; the whole deployment where there is none.
    pub async fn begin_for(&self, tenant: Option<&TenantId>) -> Result<Transaction<'static, Postgres>, Error> {
        match tenant {
            Some(tenant) => self.tenant(tenant).await,
            None => self.begin().await,
        }
    }

    /// A connection that sees the whole deployment: for operators and for what works for all tenants.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool.acquire().await
    }

    /// How it comes to be without the rights of an owner.
    pub fn wall(&self) -> Wall {
        self.wall
    }

    /// The names of the migrations that the database did not have when it was connected to; empty when it is current.
    pub fn pending_migrations(&self) -> &[String] {
        &self.pending_migrations
    }

    /// Closes its connections, once their users have given them back.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Connects once and finds out how the user stands to the service's role, and which migrations are missing.
async fn look(options: &PgConnectOptions) -> Result<(Wall, Vec<String>), ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { host: host(options), source };
    let mut conn = reach(options).await?;
    let standing = standing(&mut conn).await.map_err(unreachable)?;
    let pending = pending_migrations(&mut conn).await.map_err(unreachable)?;
    sqlx::Connection::close(conn).await.map_err(unreachable)?;
    match standing {
        Standing { is_walled: false, .. } => Ok((Wall::Missing, pending)),
        Standing { is_member: false, user, .. } => Err(ConnectError::NoMember { user }),
        Standing { could_pass: true, .. } => Ok((Wall::RoleSet, pending)),
        Standing { .. } => Ok((Wall::Login, pending)),
    }
}

/// How a user stands to the service's role.
struct Standing {
    user: String,
    is_walled: bool,
    is_member: bool,
    could_pass: bool,
}

async fn standing(conn: &mut PgConnection) -> Result<Standing, Error> {
    let row = sqlx::query!(
        r#"SELECT current_user::text AS "user!",
                  EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace
                          AND relname = 'tenants' AND relrowsecurity) AS "is_walled!",
                  coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1), false)
                      AS "is_member!",
                  (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
                      OR EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace
                                 AND relkind IN ('r', 'p') AND pg_has_role(current_user, relowner, 'MEMBER'))
                      AS "could_pass!""#,
        SERVICE_ROLE,
    )
    .fetch_one(conn)
    .await?;
    Ok(Standing { user: row.user, is_walled: row.is_walled, is_member: row.is_member, could_pass: row.could_pass })
}

#[cfg(test)]
mod tests;
