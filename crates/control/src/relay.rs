//! Relay: publishes the changes of the management plane to the directory.
//!
//! Reads:        the outbox in Postgres, and what of the audit log is not chained
//! Writes:       postrider.config   (key: entity id, or `#marker`), in transactions; the chain of the audit log
//! Commits when: the transaction is committed in Kafka: then the outbox rows go, and the position moves
//! On failure:   begins again from the outbox and reports unready; nothing is skipped
//!
//! One relay of a deployment works, the one that holds the database's advisory lock; the others wait for it.
//! The audit log is chained in the order of publishing, in the transaction that takes the changes out of the outbox;
//! records of changes that the directory does not know (those of API keys) follow behind.
//!
//! The lock lives and dies with a connection, over which all of the relay's reads and writes go; the
//! transactional producer, taken over only under the lock, keeps a former holder from publishing.

mod batch;
mod session;
#[cfg(test)]
mod tests;
mod topic;

use std::time::Duration;

use postrider_domain::seal::KeyRing;
use postrider_kafka::{Codec, KafkaConfig, ReadinessHandle, Shutdown, Topics};
use postrider_postgres::Database;

use session::SessionError;

/// How the relay goes about it.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// How often it looks into an outbox that was empty.
    pub poll_interval: Duration,
    /// How long the record of a deletion is kept before it becomes a tombstone.
    pub keep_deletions: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { poll_interval: Duration::from_millis(50), keep_deletions: Duration::from_hours(30 * 24) }
    }
}

/// Publishes the outbox.
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    pool: Database,
    kafka: KafkaConfig,
    topics: Topics,
    codec: Codec,
    key_ring: KeyRing,
    readiness: ReadinessHandle,
}

impl Relay {
    /// A relay between a database and the directory's topic; `key_ring` makes the hashes of the audit log's chain. It keeps a
    /// connection beside the pool's others: that with the lock.
    pub fn new(
        config: RelayConfig,
        pool: Database,
        kafka: KafkaConfig,
        topics: Topics,
        codec: Codec,
        key_ring: KeyRing,
        readiness: ReadinessHandle,
    ) -> Self {
        Self { config, pool, kafka, topics, codec, key_ring, readiness }
    }

    /// Works until `shutdown`. What fails is tried again, so it does not end otherwise.
    pub async fn run(self, shutdown: Shutdown) {
        loop {
            let ended = tokio::select! {
                biased;
                () = shutdown.hard.cancelled() => return,
                ended = session::run(&self, &shutdown) => ended,
            };
            let Err(error) = ended else { return };
            metrics::counter!("postrider_relay_failures_total").increment(1);
            tracing::warn!(%error, "the relay stopped publishing and begins again");
            self.readiness.unready(error.to_string());
            tokio::select! {
                () = shutdown.soft.cancelled() => return,
                () = tokio::time::sleep(pause_after(&error)) => {}
            }
        }
    }
}

/// How long to wait before beginning again.
fn pause_after(error: &SessionError) -> Duration {
    match error {
        SessionError::TopicAhead { .. } | SessionError::TopicBehind { .. } => Duration::from_secs(10),
        SessionError::Database(_) | SessionError::Transaction(_) | SessionError::Topic(_) => Duration::from_secs(1),
    }
}
