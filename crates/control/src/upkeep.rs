//! Upkeep of what is kept by time: adds up what the projector counted, makes the partitions of coming days, and drops
//! those of days that are past their time.
//!
//! Every process with the projector does it; whoever takes the advisory lock of a step does that step, and the others
//! find nothing left to do. A process that dies half-way leaves nothing half-done: each step is a transaction.

mod fold;
mod keep;
#[cfg(test)]
mod tests;

use std::time::Duration;

use postrider_kafka::Shutdown;
use postrider_postgres::{Database, Error};
use tokio::time::{Instant, sleep};

pub use fold::{Folded, fold};
pub use keep::{Retention, keep};

use crate::clock;

/// The shortest pause between two additions: what the projector counted is in the analytics about as late.
const FOLD_PAUSE: Duration = Duration::from_secs(1);
/// How often partitions are looked at.
const KEEP_PAUSE: Duration = Duration::from_mins(10);
/// The pause after what failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);

/// Does it until the process stops.
#[derive(Debug)]
pub struct Upkeep {
    pool: Database,
    retention: Retention,
}

impl Upkeep {
    /// Of the database of `pool`. It uses two connections at most.
    pub fn new(pool: Database, retention: Retention) -> Self {
        Self { pool, retention }
    }

    /// Works until `shutdown`. What fails is tried again, so it does not end otherwise.
    pub async fn run(self, shutdown: Shutdown) {
        let work = async { tokio::join!(self.add_up(), self.keep_partitions()) };
        tokio::select! {
            ((), ()) = work => {}
            () = shutdown.soft.cancelled() => {}
        }
    }

    async fn add_up(&self) {
        loop {
            let begun = Instant::now();
            let pause = match fold(&self.pool).await {
                Ok(folded) => {
                    // So long that it never takes the database for itself.
                    let least = if folded.is_all() { FOLD_PAUSE } else { Duration::ZERO };
                    least.max(begun.elapsed())
                }
                Err(error) => failed("what was counted can't be added up", &error),
            };
            sleep(pause).await;
        }
    }

    async fn keep_partitions(&self) {
        loop {
            let pause = match keep(&self.pool, &self.retention, clock::now()).await {
                Ok(()) => KEEP_PAUSE,
                Err(error) => failed("partitions can't be made or dropped", &error),
            };
            sleep(pause).await;
        }
    }
}

/// Reports a failure; answers when to try again.
fn failed(what: &str, error: &Error) -> Duration {
    metrics::counter!("postrider_upkeep_failures_total").increment(1);
    tracing::warn!(%error, "{what}; trying again");
    FAILURE_PAUSE
}
