//! The matcher as a service: a consumer per source, a task per partition.

use std::{sync::Arc, time::Duration};

use postrider_kafka::{
    KafkaConfig, Layout, Readiness, ReadinessHandle, Shutdown, Sink, StageConfig, StageConsumer, StartFrom,
    TopicSelection, Topics, begin_group,
};

use super::{
    avro::{Decoder, Schemas},
    partition::match_partition,
    record::RecordMatcher,
    source::SourceConfig,
};
use crate::{
    directory::Directory,
    stage::{self, StageError},
};

/// Between two attempts to find where a source begins.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What the matcher reads.
#[derive(Debug, Clone)]
pub struct MatcherConfig {
    /// The sources, each with a name of its own.
    pub sources: Vec<SourceConfig>,
    /// How long deliveries may wait for their acknowledgement once the process stops.
    pub shutdown_drain: Duration,
}

/// What the matcher works with.
#[derive(Debug)]
pub struct MatcherDeps<S> {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// The topics' names.
    pub topics: Topics,
    /// Partition counts and schemas.
    pub layout: Layout,
    /// What subscriptions there are.
    pub directory: Directory,
    /// What turns Avro into JSON, if that is configured.
    pub schemas: Option<Arc<dyn Schemas>>,
    /// Where it writes.
    pub sink: S,
    /// Where it says whether it can work.
    pub readiness: Readiness,
}

/// Matches events until it is told to stop.
#[derive(Debug)]
pub struct Matcher<S> {
    config: MatcherConfig,
    deps: MatcherDeps<S>,
}

impl<S: Sink> Matcher<S> {
    /// A matcher that has not begun.
    pub fn new(config: MatcherConfig, deps: MatcherDeps<S>) -> Self {
        Self { config, deps }
    }

    /// Waits for the directory, then reads every source until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StageError> {
        let Self { config, deps } = self;
        let readiness = deps.readiness.register("matcher");
        readiness.unready("waiting for the directory");
        if shutdown.soft.run_until_cancelled(deps.directory.wait_until_working()).await.is_none() {
            return Ok(());
        }
        let deps = Arc::new(deps);
        // Each begins by itself: one that can't yet holds up none of the others.
        let sources = config.sources.into_iter().map(|source| {
            let readiness = deps.readiness.register(format!("source '{}'", source.name));
            deps.clone().read(source, config.shutdown_drain, readiness, shutdown.clone())
        });
        let sources: Vec<_> = sources.collect();
        readiness.ready();
        stage::run_all(sources).await
    }
}

impl<S: Sink> MatcherDeps<S> {
    /// Reads one source.
    async fn read(
        self: Arc<Self>,
        source: SourceConfig,
        shutdown_drain: Duration,
        readiness: ReadinessHandle,
        shutdown: Shutdown,
    ) -> Result<(), StageError> {
        let group = self.topics.group(&format!("matcher.{}", source.name));
        let begun = self.begin(&group, &source, &readiness);
        match shutdown.soft.run_until_cancelled(begun).await {
            Some(begun) => begun?,
            None => return Ok(()),
        }
        let stage = stage_config(group, &source, shutdown_drain);
        let consumer = StageConsumer::start(&self.kafka, stage, shutdown).map_err(StageError::Start)?;
        let decoder = Decoder::new(Arc::new(source), self.schemas.clone(), Some(&self.readiness));
        let matcher = RecordMatcher::new(decoder, &self.topics, &self.layout, &self.directory, self.sink.clone());
        let matcher = Arc::new(matcher);
        readiness.ready();
        let work = move |stream| match_partition(matcher.clone(), stream);
        stage::for_each_partition(consumer, self.layout.clone(), work).await
    }

    /// Sees to it that a source begins where it is told to, if it is started for the first time; however long Kafka
    /// takes to answer. Error: it never can.
    async fn begin(&self, group: &str, source: &SourceConfig, readiness: &ReadinessHandle) -> Result<(), StageError> {
        if self.kafka.embedded && matches!(source.start, StartFrom::Time(_)) {
            let message = "the in-process broker can't look up offsets by time: use start = \"earliest\" or \"latest\"";
            return Err(StageError::Start(format!("source '{}': {message}", source.name)));
        }
        let marker = self.topics.layout();
        while let Err(error) = begin_group(&self.kafka, group, &source.topics, source.start, &marker).await {
            tracing::warn!(source = source.name, error, "where a source begins is not known yet; trying again");
            readiness.unready(format!("waiting for Kafka to say where it begins: {error}"));
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Ok(())
    }
}

fn stage_config(group: String, source: &SourceConfig, shutdown_drain: Duration) -> StageConfig {
    let (topics, pattern) = match &source.topics {
        TopicSelection::Topic(topic) => (vec![topic.clone()], None),
        TopicSelection::Pattern(pattern) => (Vec::new(), Some(pattern.clone())),
    };
    let lag = metrics::gauge!("postrider_source_lag_records", "source" => source.name.clone());
    StageConfig { pattern, lag: Some(lag), shutdown_drain, ..StageConfig::new(group, topics) }
}
