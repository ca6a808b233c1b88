//! `postrider serve`: runs roles until it is told to stop.

use postrider_domain::seal::KeyRing;
use postrider_kafka::{Readiness, Shutdown, Topics};
use postrider_postgres::PgPool;
use tracing::{info, warn};

use crate::{
    cli::{Role, Serve},
    config::Loaded,
    connections::{self, Kafka},
    failure::Failure,
    lifecycle::{Lifecycle, Signals},
    roles::{self, Parts},
    telemetry,
};

/// Reaches what the roles need, then runs them.
pub async fn run(arguments: &Serve, loaded: &Loaded) -> Result<(), Failure> {
    let mut roles = arguments.roles.clone();
    roles.sort_unstable();
    roles.dedup();
    // Logs begin once Kafka and Postgres answered: until then a failure is the one line on stderr.
    let needs = Needs::reach(&roles, loaded).await?;
    let mut signals = Signals::listen()?;
    telemetry::start_logs(&loaded.config.log)?;
    let metrics = telemetry::start_metrics()?;
    info!(version = env!("CARGO_PKG_VERSION"), roles = ?roles, "postrider starts");
    if loaded.config.topics.create && loaded.config.topics.replication_factor.get() == 1 {
        warn!("topics are created with one copy (topics.replication_factor = 1): losing a broker loses deliveries");
    }

    let shutdown = Shutdown::new();
    let opened = tokio::select! {
        opened = needs.open_kafka(loaded, &shutdown) => opened,
        _ = signals.next() => return Ok(()),
    };
    let kafka = opened?;
    let (producer, patient_producer) = (kafka.producer.clone(), kafka.patient_producer.clone());
    let parts = Parts {
        config: loaded.config.clone(),
        kafka,
        postgres: needs.postgres,
        key_ring: needs.key_ring,
        readiness: Readiness::new(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    };
    let mut lifecycle = Lifecycle::new(shutdown, loaded.config.shutdown.drain);
    roles::start(&parts, &roles, &mut lifecycle).await?;
    drop(parts);
    let ended = tokio::select! {
        ended = lifecycle.run(async || signals.next().await) => ended,
        () = telemetry::keep_up(metrics) => unreachable!("the upkeep of metrics does not end"),
    };
    tokio::join!(producer.flush(FLUSH_PATIENCE), patient_producer.flush(FLUSH_PATIENCE));
    info!("postrider has stopped");
    ended.map_err(Failure::from)
}

/// How long records that were sent may take to be acknowledged at the very end.
const FLUSH_PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// What the roles need, reached.
struct Needs {
    kafka: postrider_kafka::KafkaConfig,
    postgres: Option<PgPool>,
    key_ring: Option<KeyRing>,
}

impl Needs {
    /// Checks everything that needs no server first.
    async fn reach(roles: &[Role], loaded: &Loaded) -> Result<Self, Failure> {
        let kafka = connections::kafka_config(loaded, "`postrider serve`")?;
        let key_ring = match roles.iter().find(|role| role.needs_master_keys()) {
            Some(role) => Some(loaded.key_ring(&format!("the role {role}"))?),
            None => None,
        };
        let needs_postgres = roles.iter().find(|role| role.needs_postgres()).map(|role| format!("the role {role}"));
        if let Some(role) = &needs_postgres {
            loaded.postgres_url(role)?;
        }
        connections::reach_kafka(&kafka).await?;
        let postgres = match needs_postgres {
            Some(role) => Some(connections::postgres(loaded, &role).await?),
            None => None,
        };
        Ok(Self { kafka, postgres, key_ring })
    }

    async fn open_kafka(&self, loaded: &Loaded, shutdown: &Shutdown) -> anyhow::Result<Kafka> {
        let config = &loaded.config;
        let topics = Topics::new(&config.kafka.topic_prefix);
        let create = config.topics.create.then(|| connections::topic_settings(config));
        Kafka::open(self.kafka.clone(), topics, connections::tiers(config), create, shutdown).await
    }
}
