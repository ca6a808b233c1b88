//! The dispatcher as a service.

use std::{collections::HashMap, sync::Arc, time::Duration};

use postrider_domain::{
    EndpointId, egress::EgressPolicy, endpoint_state::EndpointState, failing::DisableRule, gate::GateConfig,
    outcome::Jitter, seal::KeyRing, tier::Tiers,
};
use postrider_kafka::{
    FetchSize, KafkaConfig, Layout, PartitionReader, PartitionStream, Readiness, ReadinessHandle, Shutdown, Sink,
    StageConfig, StageConsumer, StartAt, Topics,
};
use tokio::sync::Semaphore;

use super::{
    gate::Gate,
    lane::LaneLimits,
    lateness::Lateness,
    memory::Memory,
    overrides::{self, Overrides},
    partition::{Partition, Shared},
    settle::{DoubtLimits, Settler},
    state::{self, RestoreError, StateBudget},
    uptime::Uptime,
};
use crate::{
    directory::Directory,
    egress::Courier,
    stage::{StageError, for_each_partition},
};

/// What of a process may be sent and not acknowledged in the log or hand-off.
const DOUBT: DoubtLimits = DoubtLimits { max_deliveries: 2_000, max_bytes: 16 * 1024 * 1024 };
/// Test sends of a process that may be in flight.
const MAX_TEST_SENDS: usize = 64;
const LOOKUP_PAUSE: Duration = Duration::from_millis(500);

/// The dispatcher's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatcherConfig {
    /// Deliveries that may wait in one endpoint's lane.
    pub max_queued_per_lane: usize,
    /// Requests in flight at once to one endpoint, at most (1 to 64).
    pub lane_concurrency: u16,
    /// A delivery whose lane waits longer than this is parked.
    pub park_after: Duration,
    /// A delivery whose turn is further off than this is held.
    pub hold_after: Duration,
    /// While so many deliveries of one endpoint are parked, more of it are held.
    pub max_parked_per_endpoint: usize,
    /// The head of an ordering key that is retried later than this waits in the held topic.
    pub ordered_wait: Duration,
    /// Bytes of deliveries that may wait in all lanes of the process.
    pub max_waiting_bytes: usize,
    /// Whether nothing is given up while nothing can leave the process.
    pub egress_gate: bool,
    /// For how long at most.
    pub egress_grace: Duration,
    /// How long requests in flight may take once the process stops.
    pub shutdown_drain: Duration,
}

impl Default for DispatcherConfig {
    fn default() -> Self {
        Self {
            max_queued_per_lane: 1_024,
            lane_concurrency: 64,
            park_after: Duration::from_secs(2),
            hold_after: Duration::from_mins(5),
            max_parked_per_endpoint: 10_000,
            ordered_wait: Duration::from_mins(1),
            max_waiting_bytes: 64 * 1024 * 1024,
            egress_gate: true,
            egress_grace: Duration::from_hours(24),
            shutdown_drain: Duration::from_secs(10),
        }
    }
}

impl DispatcherConfig {
    pub(super) fn limits(&self) -> LaneLimits {
        LaneLimits {
            max_queued: self.max_queued_per_lane,
            concurrency: self.lane_concurrency,
            park_after: self.park_after,
            hold_after: self.hold_after,
            max_parked: self.max_parked_per_endpoint,
            ordered_wait: self.ordered_wait,
        }
    }

    pub(super) fn gate(&self) -> GateConfig {
        GateConfig { enabled: self.egress_gate, grace: self.egress_grace, ..GateConfig::default() }
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

    /// Waits for directory and overrides, joins the group, and works until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StageError> {
        let Self { config, deps } = self;
        let readiness = Arc::new(deps.readiness.register("dispatcher"));
        readiness.unready("waiting for the directory");
        if shutdown.soft.run_until_cancelled(deps.directory.wait_until_working()).await.is_none() {
            return Ok(());
        }
        let overrides = Overrides::new();
        let (kafka, topics, layout) = (deps.kafka.clone(), deps.topics.clone(), deps.layout.clone());
        let following = overrides::follow(
            overrides.clone(),
            &kafka,
            &topics,
            &layout,
            deps.sink.clone(),
            deps.readiness.register("overrides"),
            &shutdown,
        );
        let working = Self::work(&config, deps, overrides, readiness, shutdown.clone());
        tokio::try_join!(following, working).map(|((), ())| ())
    }

    async fn work(
        config: &DispatcherConfig,
        deps: DispatcherDeps<S, C>,
        overrides: Overrides,
        readiness: Arc<ReadinessHandle>,
        shutdown: Shutdown,
    ) -> Result<(), StageError> {
        readiness.unready("waiting for the overrides");
        if shutdown.soft.run_until_cancelled(overrides.wait_until_read()).await.is_none() {
            return Ok(());
        }
        let readers = Readers::start(&deps.kafka, &deps.topics)?;
        let layout = deps.layout.clone();
        let mut stage = StageConfig::new(deps.topics.dispatcher_group(), vec![deps.topics.deliveries()]);
        stage.shutdown_drain = config.shutdown_drain;
        stage.companion = Some(deps.topics.held());
        let consumer = StageConsumer::start(&deps.kafka, stage, shutdown).map_err(StageError::Start)?;
        let shared = Arc::new(shared(config, deps, overrides, readiness.clone()));
        readiness.ready();
        for_each_partition(consumer, layout, |stream| own(shared.clone(), readers.clone(), stream)).await
    }
}

/// The readers of what goes with the deliveries: one client each for all partitions.
#[derive(Clone)]
struct Readers {
    state: PartitionReader,
    held: PartitionReader,
}

impl Readers {
    fn start(kafka: &KafkaConfig, topics: &Topics) -> Result<Self, StageError> {
        let start = |topic: String, fetch| PartitionReader::start(kafka, &topic, fetch).map_err(StageError::Start);
        Ok(Self {
            state: start(topics.endpoint_state(), FetchSize::Small)?,
            held: start(topics.held(), FetchSize::Large)?,
        })
    }
}

/// Restores what is known of a partition's endpoints, then works on it.
async fn own<S: Sink, C: Courier>(
    shared: Arc<Shared<S, C>>,
    readers: Readers,
    stream: PartitionStream,
) -> Result<(), StageError> {
    let (number, stopped) = (stream.partition(), stream.stopped());
    let restored = state::restore(
        readers.state.open(number, StartAt::Beginning),
        shared.sink.clone(),
        &shared.layout,
        &shared.topics,
        number,
        stream.companion_start(),
        rand::random(),
        shared.state_budget.clone(),
    );
    let Some(restored) = stopped.run_until_cancelled(restored).await else { return Ok(()) };
    let (journal, states) = match restored {
        Ok(restored) => restored,
        Err(RestoreError::Produce(error)) => return Err(error.into()),
        Err(closed @ RestoreError::Closed { .. }) => {
            tracing::warn!(%closed, "the partition was given to this process anew");
            return Ok(());
        }
    };
    let mut cursor = readers.held.open(number, StartAt::End);
    cursor.pause();
    let Some(end) = stopped.run_until_cancelled(end_of(&mut cursor)).await else { return Ok(()) };
    let start = lowest_holding(&states).unwrap_or(end);
    cursor.seek(start);
    Partition::new(shared, stream, journal, states, (cursor, start, end)).run().await
}

/// From where the held topic has to be read for what these endpoints hold.
pub(crate) fn lowest_holding(states: &HashMap<EndpointId, EndpointState>) -> Option<i64> {
    let holdings = states.values().filter_map(|state| state.holding.as_ref());
    holdings.flat_map(|holding| holding.blocked.iter().map(|key| key.from_offset).chain([holding.position])).min()
}

/// Where the held topic's partition ends, however long it takes to find out.
async fn end_of(cursor: &mut postrider_kafka::PartitionCursor) -> i64 {
    loop {
        match cursor.watermarks().await {
            Ok((_, end)) => return end,
            Err(error) => {
                tracing::warn!(error, "the end of the held topic can't be looked up; trying again");
                tokio::time::sleep(LOOKUP_PAUSE).await;
            }
        }
    }
}

fn shared<S: Sink, C: Courier>(
    config: &DispatcherConfig,
    deps: DispatcherDeps<S, C>,
    overrides: Overrides,
    readiness: Arc<ReadinessHandle>,
) -> Shared<S, C> {
    let uptime = Uptime::begin();
    Shared {
        settler: Settler::new(deps.sink.clone(), deps.layout.clone(), &deps.topics, &deps.tiers, DOUBT),
        codec: deps.layout.codec().clone(),
        clock: deps.sink.clock(),
        courier: deps.courier,
        sink: deps.sink,
        layout: deps.layout,
        topics: deps.topics,
        tiers: Arc::new(deps.tiers),
        jitter: || Jitter(rand::random()),
        directory: deps.directory,
        overrides,
        gate: Gate::new(config.gate(), uptime),
        keys: deps.keys,
        policy: deps.policy,
        limits: config.limits(),
        disable: DisableRule::default(),
        memory: Memory::new(config.max_waiting_bytes),
        test_sends: Arc::new(Semaphore::new(MAX_TEST_SENDS)),
        state_budget: Arc::new(StateBudget::new()),
        readiness,
        uptime,
        lateness: Lateness::measured(),
    }
}
