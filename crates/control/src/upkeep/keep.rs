//! How long what is kept, and the partitions that this takes.

use std::time::Duration;

use postrider_domain::{Timestamp, rollup::Grain};
use postrider_postgres::{
    Database, Error, PgConnection, audit_chain,
    retention::{self, Kept},
    security_events,
};

/// For how long partitions are made ahead. What comes later than that is stored all the same, and moved when its time has
/// come.
const AHEAD: Duration = Duration::from_hours(7 * 24);
/// What was matched before today still comes in.
const BEHIND: Duration = Duration::from_hours(24);
/// For how long a table is waited for: everybody who comes for it meanwhile waits as well, and what takes a table for
/// hours, as a backup does, is met again every few seconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long what is kept, from when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Deliveries with their attempts.
    pub deliveries: Duration,
    /// Test sends.
    pub tests: Duration,
    /// The audit log, by whole months.
    pub audit: Duration,
    /// Counts by minute.
    pub minutes: Duration,
    /// Counts by hour.
    pub hours: Duration,
    /// Counts by day.
    pub days: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Duration::from_hours(24 * days);
        Self {
            deliveries: days(30),
            tests: days(7),
            audit: days(400),
            minutes: days(7),
            hours: days(90),
            days: days(800),
        }
    }
}

impl Retention {
    /// How long counts of a grain are kept.
    pub fn of(&self, grain: Grain) -> Duration {
        match grain {
            Grain::Minute => self.minutes,
            Grain::Hour => self.hours,
            Grain::Day => self.days,
        }
    }

    fn of_table(&self, kept: Kept) -> Duration {
        match kept {
            Kept::Deliveries | Kept::Attempts => self.deliveries,
            Kept::Audit => self.audit,
            Kept::Minutes => self.minutes,
            Kept::Hours => self.hours,
            Kept::Days => self.days,
        }
    }
}

/// Makes the partitions that are needed from now on and drops those that are past their time; deletes row by row what is in none and is past its time, as tests.
/// Each in a transaction of its own, so that nobody waits for more than one of them.
pub async fn keep(pool: &Database, retention: &Retention, now: Timestamp) -> Result<(), Error> {
    for kept in Kept::ALL {
        let oldest = now - retention.of_table(kept);
        let mut conn = pool.acquire().await?;
        let missing = retention::missing(&mut conn, kept, oldest, now - BEHIND, now + AHEAD).await?;
        drop(conn);
        for starts in missing {
            let mut transaction = pool.begin().await?;
            let made = retention::try_lock(&mut transaction, PATIENCE).await?
                && retention::make(&mut transaction, kept, starts).await?;
            transaction.commit().await?;
            if made {
                tracing::debug!(table = kept.table(), %starts, "made a partition");
            }
        }
        let mut transaction = pool.begin().await?;
        if retention::try_lock(&mut transaction, PATIENCE).await? {
            let dropped = retention::drop_before(&mut transaction, kept, oldest).await?;
            if kept == Kept::Audit {
                audit_chain::forget_dropped(&mut transaction, oldest.to_datetime()).await?;
            }
            transaction.commit().await?;
            if !dropped.is_empty() {
                tracing::info!(table = kept.table(), ?dropped, "dropped partitions that were past their time");
            }
        }
    }
    for rows in [Rows::Tests, Rows::Usage, Rows::SecurityEvents] {
        rows.delete(pool, now - rows.kept_for(retention)).await?;
    }
    Ok(())
}

/// What is deleted row by row, a batch in a transaction of its own.
#[derive(Debug, Clone, Copy)]
enum Rows {
    Tests,
    /// What keys and tenants did on a day.
    Usage,
    SecurityEvents,
}

impl Rows {
    fn kept_for(self, retention: &Retention) -> Duration {
        match self {
            Self::Tests => retention.tests,
            Self::Usage => retention.days,
            Self::SecurityEvents => retention.audit,
        }
    }

    async fn delete(self, pool: &Database, before: Timestamp) -> Result<(), Error> {
        loop {
            let mut transaction = pool.begin().await?;
            let mut deleted = 0;
            if retention::try_lock(&mut transaction, PATIENCE).await? {
                deleted = self.delete_batch(&mut transaction, before).await?;
            }
            // Also where nothing was: a lock that is only dropped is still held when the next one is tried.
            transaction.commit().await?;
            if deleted == 0 {
                return Ok(());
            }
        }
    }

    async fn delete_batch(self, conn: &mut PgConnection, before: Timestamp) -> Result<u64, Error> {
        match self {
            Self::Tests => retention::delete_tests(conn, before).await,
            Self::Usage => retention::delete_usage(conn, before).await,
            Self::SecurityEvents => security_events::delete_before(conn, before).await,
        }
    }
}
