//! One Postgres for a test run, a database for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use postrider_postgres::local::{LocalPostgres, LocalPostgresError};
use tokio::process::Command;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Creates a database that no other test of this run has, and returns its URL.
pub async fn create_test_database(postgres: &LocalPostgres) -> Result<String, LocalPostgresError> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    postgres.create_database(&format!("test_{number}")).await
}

/// All that is in a database, as `pg_dump` writes it: texts as they are, bytes in hexadecimal.
pub async fn dump_database(postgres: &LocalPostgres, url: &str) -> anyhow::Result<Vec<u8>> {
    // Where the server's program really is: what is in the PATH may be links to some of them only.
    let server = postgres.binaries().join("postgres").canonicalize().context("find the server's program")?;
    let program = server.with_file_name("pg_dump");
    let mut command = Command::new(&program);
    let output = command.arg("--dbname").arg(url).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("run {}", program.display()))?;
    ensure!(output.status.success(), "pg_dump failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
