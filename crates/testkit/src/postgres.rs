//! One Postgres for a test run, a database for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use postrider_postgres::local::{LocalPostgres, LocalPostgresError};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Creates a database that no other test of this run has, and returns its URL.
pub async fn create_test_database(postgres: &LocalPostgres) -> Result<String, LocalPostgresError> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    postgres.create_database(&format!("test_{number}")).await
}
