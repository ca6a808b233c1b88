//! The handle that a stage holds.

use std::{sync::Arc, time::Duration};

use metrics::Gauge;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::sync::{mpsc, oneshot};

use super::{
    committer::Committer, context::Context, poll_thread::PollThread, positions::Positions, stream::PartitionStream,
};
use crate::{FetchSize, KafkaConfig, Shutdown, TopicPattern};

/// How much of one partition may be read and not taken by the stage; past it the partition is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// How many records.
    pub records: usize,
    /// How many bytes.
    pub bytes: usize,
}

/// What a stage reads, and how.
#[derive(Clone)]
pub struct StageConfig {
    /// The consumer group.
    pub group: String,
    /// The topics.
    pub topics: Vec<String>,
    /// Reads the topics that match this instead, also those that are made while it runs.
    pub pattern: Option<TopicPattern>,
    /// Shows how many records are between what is committed and the ends of this member's partitions.
    pub lag: Option<Gauge>,
    /// What is read ahead per partition.
    pub queue: QueueLimits,
    /// How much is fetched ahead.
    pub fetch: FetchSize,
    /// Where the positions are kept.
    pub positions: Positions,
    /// A topic of which this group keeps an offset beside each of its own (one topic's) partitions', although it does
    /// not subscribe to it; only with positions that are committed.
    pub companion: Option<String>,
    /// How long what is in flight may take once its partition is revoked.
    pub revoke_drain: Duration,
    /// How long what is in flight may take once the process stops.
    pub shutdown_drain: Duration,
}

impl StageConfig {
    /// A stage with the usual bounds, positions committed in Kafka.
    pub fn new(group: String, topics: Vec<String>) -> Self {
        Self {
            group,
            topics,
            pattern: None,
            lag: None,
            queue: QueueLimits { records: 256, bytes: 512 * 1024 },
            fetch: FetchSize::Large,
            positions: Positions::Committed,
            companion: None,
            revoke_drain: Duration::from_secs(3),
            shutdown_drain: Duration::from_secs(10),
        }
    }
}

/// A member of a consumer group. Its poll thread lives until the shutdown that it was started with.
#[derive(Debug)]
pub struct StageConsumer {
    partitions: mpsc::UnboundedReceiver<PartitionStream>,
    closed: oneshot::Receiver<()>,
}

impl StageConsumer {
    /// Joins the group. Error: a client property is not one, or the thread could not be started.
    pub fn start(kafka: &KafkaConfig, config: StageConfig, shutdown: Shutdown) -> Result<Self, String> {
        let consumer: BaseConsumer<Context> = kafka
            .group_consumer(&config.group, config.fetch)
            .create_with_context(Context::new(&config.group, config.lag.clone()))
            .map_err(|error| format!("kafka.properties: {error}"))?;
        if config.pattern.is_none() {
            let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
            consumer.subscribe(&topics).map_err(|error| format!("can't subscribe to {topics:?}: {error}"))?;
        }
        // Unbounded, but holds at most one entry for each assignment of a partition.
        let (new_partitions, partitions) = mpsc::unbounded_channel();
        let (on_closed, closed) = oneshot::channel();
        let name = format!("poll {}", config.group);
        let consumer = Arc::new(consumer);
        let committer = Committer::start(consumer.clone(), &config.group)
            .map_err(|error| format!("can't start a thread for commits: {error}"))?;
        let thread = PollThread::new(consumer, committer, config, shutdown, new_partitions);
        let runtime = tokio::runtime::Handle::current();
        thread.follow_topics(&runtime, kafka.topic_refresh());
        let spawned = std::thread::Builder::new().name(name.clone()).spawn(move || {
            thread.run(&runtime);
            // The stage may be gone already.
            let _ = on_closed.send(());
        });
        spawned.map_err(|error| format!("can't start the thread '{name}': {error}"))?;
        Ok(Self { partitions, closed })
    }

    /// The next newly assigned partition; none once the poll thread has ended. Cancel-safe.
    pub async fn next_partition(&mut self) -> Option<PartitionStream> {
        self.partitions.recv().await
    }

    /// Waits until everything is drained, committed and the group left. Call after the shutdown began.
    pub async fn closed(self) {
        // Nobody takes these any more, and the thread waits until they are gone.
        drop(self.partitions);
        // An error means that the thread is gone, which is what is waited for.
        let _ = self.closed.await;
    }
}
