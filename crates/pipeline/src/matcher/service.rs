//! The matcher as a service: a consumer per source, a task per partition.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use postrider_kafka::{
    KafkaConfig, Layout, PartitionStream, ProduceError, Readiness, Shutdown, Sink, StageConfig, StageConsumer, Topics,
};
use tokio::{task::coop::unconstrained, time::MissedTickBehavior};

use super::{
    announce::Announcer,
    record::{Matched, RecordMatcher},
    source::SourceConfig,
};
use crate::{
    directory::Directory,
    stage::{self, StageError},
};

/// Records of one partition that may be matched and not acknowledged.
const MAX_RECORDS_IN_FLIGHT: usize = 256;
/// How often a partition to which nothing comes looks for new subscriptions.
const IDLE_ANNOUNCEMENTS: Duration = Duration::from_millis(500);

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

    /// Waits for the directory, joins the sources' groups, and works until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StageError> {
        let Self { config, deps } = self;
        let readiness = deps.readiness.register("matcher");
        readiness.unready("waiting for the directory");
        if shutdown.soft.run_until_cancelled(deps.directory.wait_until_working()).await.is_none() {
            return Ok(());
        }
        let mut sources = Vec::with_capacity(config.sources.len());
        for source in config.sources {
            let mut stage =
                StageConfig::new(deps.topics.group(&format!("matcher.{}", source.name)), vec![source.topic.clone()]);
            stage.shutdown_drain = config.shutdown_drain;
            let consumer = StageConsumer::start(&deps.kafka, stage, shutdown.clone()).map_err(StageError::Start)?;
            let matcher = RecordMatcher::new(source, &deps.topics, &deps.layout, &deps.directory, deps.sink.clone());
            sources.push((consumer, Arc::new(matcher)));
        }
        readiness.ready();
        stage::run_all(sources.into_iter().map(|(consumer, matcher)| {
            stage::for_each_partition(consumer, deps.layout.clone(), move |stream| {
                match_partition(matcher.clone(), stream)
            })
        }))
        .await
    }
}

/// Matches one partition's records until it is revoked or the process stops.
async fn match_partition<S: Sink>(
    matcher: Arc<RecordMatcher<S>>,
    mut stream: PartitionStream,
) -> Result<(), StageError> {
    let (stopped, aborted) = (stream.stopped(), stream.aborted());
    let inherited = stream.start_metadata().version;
    if let Some(version) = inherited {
        // Not to match by an older directory than whoever matched before.
        let reached = stopped.run_until_cancelled(matcher.directory().wait_for(version)).await;
        if reached.is_none() {
            return Ok(());
        }
    }
    let mut announcer = Announcer::new(matcher.board(), stream.partition(), inherited);
    let mut reached = inherited.unwrap_or_default();
    let mut next_offset = stream.start_offset();
    let dedupe = matcher.dedupe();
    let mut in_flight = FuturesUnordered::new();
    let mut idle = tokio::time::interval(IDLE_ANNOUNCEMENTS);
    idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading = true;
    while reading || !in_flight.is_empty() || announcer.is_busy() {
        let settled: Vec<Matched> = tokio::select! {
            biased;
            () = aborted.cancelled() => return Ok(()),
            free = announcer.announced(!reading), if announcer.is_busy() => free?,
            Some(done) = in_flight.next() => {
                let done: Result<Matched, ProduceError> = done;
                announcer.settle(done?).into_iter().collect()
            }
            _ = idle.tick(), if reading && matcher.directory().can_work() => {
                announcer.observe(matcher.directory().grown(), next_offset);
                Vec::new()
            }
            inbound = stage::next(matcher.directory(), &mut stream),
                if reading && in_flight.len() < MAX_RECORDS_IN_FLIGHT =>
            {
                if let Some(inbound) = inbound {
                    let looked = matcher.look(&inbound.record);
                    if let Some(seen) = looked.seen() {
                        announcer.observe(seen.grown, inbound.record.offset);
                    }
                    next_offset = inbound.record.offset + 1;
                    // What is polled first writes first: nothing but what it waits for may make it yield, or one that
                    // came later would overtake it, and an ordered endpoint's deliveries would change their order.
                    in_flight.push(unconstrained(matcher.clone().finish(inbound, looked, dedupe.clone())));
                } else {
                    reading = false;
                }
                Vec::new()
            }
        };
        for matched in settled {
            reached = reached.max(matched.version.unwrap_or_default());
            stream.set_version(reached);
            matched.settle(matcher.now());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
