//! Relay: publishes the changes of the management plane to the directory.
//!
//! Reads:        the outbox in Postgres, and what of the audit log is not chained
//! Writes:       postrider.config   (key: entity id, or `#marker`), in transactions; the chain of the audit log
//! Commits when: the transaction is committed in Kafka: then the outbox rows go, and the position moves
//! On failure:   begins again from the outbox and reports unready; nothing is skipped
//!
//! One relay of a deployment works, the one that holds the database's advisory lock; the others wait for it.
//! The audit log is chained in the order of publishing, in the transaction that takes the changes out of the outbox;
//! records of changes that the directory does not know (such as of new API keys) follow behind.
//!
//! A topic that is ahead of the database, as after a restored backup, is not touched, and the database is marked: see
//! [`crate::republish`].
//!
//! The lock lives and dies with a connection, over which all of the relay's reads and writes go; the
//! transactional producer, taken over only under the lock, keeps a former holder from publishing.

pub(crate) mod batch;
mod session;
#[cfg(test)]
mod tests;
pub(crate) mod topic;

use std::time::Duration;

use postrider_domain::seal::KeyRing;
use postrider_kafka::{Codec, KafkaConfig, ReadinessHandle, Shutdown, Topics};
use postrider_postgres::{Database, relay_state};

use session::SessionError;

/// How the relay goes about it.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// How often it looks into the outbox, unless there is more in it than a batch.
    pub poll_interval: Duration,
    /// How long the record of a deletion is kept before it becomes a tombstone.
    pub keep_deletions: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { poll_interval: Duration::from_millis(100), keep_deletions: Duration::from_hours(30 * 24) }
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
                () = self.pause_after(&error) => {}
            }
        }
    }

    /// Waits before beginning again: on a topic that does not go with the database for somebody to put that right, who
    /// begins a new epoch.
    async fn pause_after(&self, error: &SessionError) {
        match error {
            SessionError::TopicAhead { published, .. } | SessionError::TopicBehind { published, .. } => {
                // What somebody did to the topic is seen when it is read again.
                let _ = tokio::time::timeout(Duration::from_secs(10), self.epoch_after(published.epoch)).await;
            }
            SessionError::Database(_) | SessionError::Transaction(_) | SessionError::Topic(_) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Waits until another epoch than `epoch` was begun.
    async fn epoch_after(&self, epoch: i64) {
        let current = async || relay_state::get(&mut *self.pool.acquire().await?).await;
        while current().await.is_ok_and(|state| state.version.epoch == epoch) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
