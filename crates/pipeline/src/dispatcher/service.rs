//! The dispatcher as a service.

use std::{sync::Arc, time::Duration};

use postrider_domain::{egress::EgressPolicy, outcome::Jitter, seal::KeyRing, tier::Tiers};
use postrider_kafka::{
    KafkaConfig, Layout, Readiness, ReadinessHandle, Shutdown, Sink, StageConfig, StageConsumer, Topics,
};
use tokio::sync::Semaphore;

use super::{
    attempt::Attempts,
    lane::LaneLimits,
    partition::{MEMORY_UNIT_BYTES, Partition, Shared},
    settle::Settler,
};
use crate::{
    directory::Directory,
    egress::Courier,
    stage::{StageError, for_each_partition},
};

/// Deliveries of a process that may be sent and not acknowledged in the log or their hand-off.
const MAX_IN_DOUBT: usize = 2_000;

/// The dispatcher's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatcherConfig {
    /// Deliveries that may wait in one endpoint's lane.
    pub max_queued_per_lane: usize,
    /// Requests in flight at once to one endpoint.
    pub lane_concurrency: usize,
    /// A delivery whose turn is further off is parked.
    pub park_after: Duration,
    /// Bytes of deliveries that may wait in all lanes of the process.
    pub max_waiting_bytes: usize,
    /// How long requests in flight may take once the process stops.
    pub shutdown_drain: Duration,
}

impl Default for DispatcherConfig {
    fn default() -> Self {
        Self {
            max_queued_per_lane: 1_024,
            lane_concurrency: 16,
            park_after: Duration::from_secs(2),
            max_waiting_bytes: 64 * 1024 * 1024,
            shutdown_drain: Duration::from_secs(10),
        }
    }
}

/// What the dispatcher works with.
pub struct DispatcherDeps<S, C> {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// The topics' names.
    pub topics: Topics,
    /// Partition counts and schemas.
    pub layout: Layout,
    /// The retry tiers.
    pub tiers: Tiers,
    /// What endpoints there are.
    pub directory: Directory,
    /// Where it writes.
    pub sink: S,
    /// How it sends.
    pub courier: C,
    /// Opens what is sealed.
    pub keys: KeyRing,
    /// Which targets are allowed.
    pub policy: EgressPolicy,
    /// Where it says whether it can work.
    pub readiness: Readiness,
}

/// Sends deliveries until it is told to stop.
pub struct Dispatcher<S, C> {
    config: DispatcherConfig,
    deps: DispatcherDeps<S, C>,
}

impl<S: Sink, C: Courier> Dispatcher<S, C> {
    /// A dispatcher that has not begun.
    pub fn new(config: DispatcherConfig, deps: DispatcherDeps<S, C>) -> Self {
        Self { config, deps }
    }

    /// Waits for the directory, joins the group, and works until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StageError> {
        let Self { config, deps } = self;
        let readiness = Arc::new(deps.readiness.register("dispatcher"));
        readiness.unready("waiting for the directory");
        if shutdown.soft.run_until_cancelled(deps.directory.wait_until_working()).await.is_none() {
            return Ok(());
        }
        let mut stage = StageConfig::new(deps.topics.group("dispatcher"), vec![deps.topics.deliveries()]);
        stage.shutdown_drain = config.shutdown_drain;
        let consumer = StageConsumer::start(&deps.kafka, stage, shutdown).map_err(StageError::Start)?;
        let shared = Arc::new(shared(&config, deps, readiness.clone()));
        readiness.ready();
        for_each_partition(consumer, |stream| Partition::new(shared.clone(), stream).run()).await
    }
}

fn shared<S: Sink, C: Courier>(
    config: &DispatcherConfig,
    deps: DispatcherDeps<S, C>,
    readiness: Arc<ReadinessHandle>,
) -> Shared<S, C> {
    let codec = deps.layout.codec().clone();
    let clock = deps.sink.clock();
    let settler = Settler::new(deps.sink, deps.layout, &deps.topics, &deps.tiers, MAX_IN_DOUBT);
    let units = (config.max_waiting_bytes / MEMORY_UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
    Shared {
        attempts: Attempts {
            courier: deps.courier,
            settler,
            tiers: Arc::new(deps.tiers),
            clock,
            jitter: || Jitter(rand::random()),
        },
        directory: deps.directory,
        codec,
        keys: deps.keys,
        policy: deps.policy,
        limits: LaneLimits {
            max_queued: config.max_queued_per_lane,
            concurrency: config.lane_concurrency,
            park_after: config.park_after,
        },
        memory: Arc::new(Semaphore::new(units)),
        readiness,
    }
}
