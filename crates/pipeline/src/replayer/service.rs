//! The replayer as a service: a task per partition of jobs.

use std::sync::Arc;

use postrider_kafka::{KafkaConfig, Layout, Readiness, Shutdown, Sink, StageConfig, StageConsumer, Topics};

use super::{logs::Logs, partition, shared::Shared};
use crate::{
    directory::Directory,
    matcher::{Schemas, SourceConfig},
    stage::{self, StageError},
};

/// What the replayer works with.
#[derive(Debug)]
pub struct ReplayerDeps<S, L> {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// The topics' names.
    pub topics: Topics,
    /// Partition counts and schemas.
    pub layout: Layout,
    /// What subscriptions there are.
    pub directory: Directory,
    /// The sources that can be replayed.
    pub sources: Vec<SourceConfig>,
    /// What turns Avro into JSON, if that is configured.
    pub schemas: Option<Arc<dyn Schemas>>,
    /// Where jobs read.
    pub logs: L,
    /// Where it writes.
    pub sink: S,
    /// Where it says whether it can work.
    pub readiness: Readiness,
}

/// Works on replay jobs until it is told to stop.
#[derive(Debug)]
pub struct Replayer<S, L> {
    deps: ReplayerDeps<S, L>,
}

impl<S: Sink, L: Logs> Replayer<S, L> {
    /// A replayer that has not begun.
    pub fn new(deps: ReplayerDeps<S, L>) -> Self {
        Self { deps }
    }

    /// Joins the group, and works until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StageError> {
        let deps = self.deps;
        let readiness = deps.readiness.register("replayer");
        let stage = StageConfig::new(deps.topics.group("replayer"), vec![deps.topics.jobs()]);
        let consumer = StageConsumer::start(&deps.kafka, stage, shutdown).map_err(StageError::Start)?;
        let layout = deps.layout.clone();
        let sources = (deps.sources, deps.schemas);
        let shared = Shared::new(deps.topics, deps.layout, deps.directory, sources, deps.logs, deps.sink);
        let shared = Arc::new(shared);
        readiness.ready();
        stage::for_each_partition(consumer, layout, move |stream| partition::serve(shared.clone(), stream)).await
    }
}
