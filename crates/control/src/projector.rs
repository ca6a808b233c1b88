//! Projector: writes what happened to deliveries into the log, how endpoints do beside it, and which of them were disabled
//! into their rows.
//!
//! Reads:        postrider.delivery-events   (key: message id; endpoint id of a range)
//!               postrider.endpoint-state    (key: endpoint id)
//!               postrider.dlq               (key: endpoint id)
//! Writes:       the delivery log, its counts and the dead letters in Postgres; endpoints, with outbox and audit; postrider.rejected (what can't be
//!               decoded)
//! Commits when: the rows are: its offsets are in Postgres and move by compare-and-set in their transaction
//! On failure:   tries again and reports unready; the poll thread goes on, nothing is skipped
//!
//! Writing a record twice changes no row (an attempt is identified by its record's coordinates, a row only moves
//! forward), so what matters is that none is left out; only those that were not written before are counted.

mod activity;
mod batch;
mod counts;
mod health;
mod log_policy;
mod partition;
mod positions;
mod quota;
mod rows;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use postrider_kafka::{
    Codec, FetchSize, KafkaConfig, Positions, ProduceError, Producer, ReadinessHandle, Shutdown, StageConfig,
    StageConsumer, Topics,
};
use postrider_postgres::Database;
use tokio::task::{JoinError, JoinSet};

use batch::Topic;
use health::Health;
pub use log_policy::LogPolicy;
use positions::LogPositions;

/// Why the projector can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The consumer can't be made.
    #[error("the projector can't read: {0}")]
    Consumer(String),
    /// What could not be decoded can't be rejected either.
    #[error("the projector can't reject a record: {0}")]
    Reject(#[from] ProduceError),
    /// The database knows less than this process has written to it.
    #[error(
        "the log of {topic}/{partition} went back from offset {written} to {stored:?}: the database was restored from a \
         backup; restart, and the log is written again from there"
    )]
    Rewound {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The next offset, as this process wrote it.
        written: i64,
        /// The next offset, as the database has it.
        stored: Option<i64>,
    },
    /// A partition's task ended by a panic.
    #[error("the task of a partition failed: {0}")]
    Task(#[from] JoinError),
}

/// Writes `postrider.delivery-events`, `postrider.dlq` and what `postrider.endpoint-state` says of disabled endpoints into Postgres.
#[derive(Debug)]
pub struct Projector {
    kafka: KafkaConfig,
    topics: Topics,
    shared: Arc<Shared>,
}

/// What the tasks of all partitions use.
#[derive(Debug)]
struct Shared {
    pool: Database,
    codec: Codec,
    producer: Producer,
    rejected_topic: String,
    state_topic: String,
    log: LogPolicy,
    dlq_topic: String,
    health: Health,
}

impl Shared {
    /// What the records of a topic are.
    fn kind_of(&self, topic: &str) -> Topic {
        if topic == self.state_topic {
            Topic::EndpointState
        } else if topic == self.dlq_topic {
            Topic::DeadLetters
        } else {
            Topic::DeliveryEvents
        }
    }
}

impl Projector {
    /// A projector into the database of `pool`, which stores of each delivery what `log` says. It uses at most one
    /// connection per partition at a time.
    pub fn new(
        kafka: KafkaConfig,
        topics: Topics,
        pool: Database,
        codec: Codec,
        producer: Producer,
        log: LogPolicy,
        readiness: ReadinessHandle,
    ) -> Self {
        let (rejected_topic, state_topic, dlq_topic) = (topics.rejected(), topics.endpoint_state(), topics.dlq());
        let health = Health::new(readiness);
        let shared = Shared { pool, codec, producer, rejected_topic, state_topic, log, dlq_topic, health };
        Self { kafka, topics, shared: Arc::new(shared) }
    }

    /// Works until `shutdown`. Each partition has a task, so that none waits for another.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), ProjectorError> {
        let topics = vec![self.topics.delivery_events(), self.topics.endpoint_state(), self.topics.dlq()];
        let mut config = StageConfig::new(self.topics.group("projector"), topics);
        config.fetch = FetchSize::Batches;
        config.positions = Positions::External(Arc::new(LogPositions(self.shared.clone())));
        let mut consumer =
            StageConsumer::start(&self.kafka, config, shutdown.clone()).map_err(ProjectorError::Consumer)?;
        self.shared.health.started();
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                stream = consumer.next_partition() => match stream {
                    Some(stream) => drop(tasks.spawn(partition::run(stream, self.shared.clone()))),
                    None => break,
                },
                Some(ended) = tasks.join_next() => ended??,
                () = shutdown.soft.cancelled() => break,
            }
        }
        let drained = async {
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            consumer.closed().await;
            Ok(())
        };
        tokio::select! {
            drained = drained => drained,
            () = shutdown.hard.cancelled() => Ok(()),
        }
    }
}
