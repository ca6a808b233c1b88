//! `postrider migrate`: brings the database's schema up to date.

use anyhow::Context;

use crate::{config::Loaded, failure::Failure};

/// Applies what is missing and says what that was.
pub async fn run(loaded: &Loaded) -> Result<(), Failure> {
    let url = loaded.postgres_owner_url("`postrider migrate`")?;
    let pool = postrider_postgres::connect(url.reveal(), 2).await.context("postgres.owner_url")?;
    let mut connection = pool.acquire().await.context("can't read which migrations are applied")?;
    let pending = postrider_postgres::pending_migrations(&mut connection).await;
    let pending = pending.context("can't read which migrations are applied")?;
    drop(connection);
    postrider_postgres::migrate(&pool).await.context("a migration failed; the ones before it are applied")?;
    pool.close().await;
    match pending.as_slice() {
        [] => println!("The database is up to date."),
        applied => println!("Applied {}.", applied.join(", ")),
    }
    Ok(())
}
