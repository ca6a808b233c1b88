//! `postrider serve`: runs roles until it is told to stop; anew when the topics that they work on were resized.

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use postrider_domain::seal::KeyRing;
use postrider_kafka::{KafkaConfig, Layout, Readiness, Shutdown, Standing, Topics, offsets_retention};
use postrider_pipeline::matcher::Schemas;
use postrider_postgres::Database;
use tracing::{debug, info, warn};

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

    if roles.contains(&Role::Matcher) {
        warn_if_offsets_are_forgotten(&needs.kafka).await;
    }

    loop {
        let ended = tokio::select! {
            ended = serve(&needs, &roles, loaded, &metrics, &mut signals) => ended?,
            () = telemetry::keep_up(metrics.clone()) => unreachable!("the upkeep of metrics does not end"),
        };
        match ended {
            Ended::Told => break,
            Ended::Outdated => info!("starting again, on the topics that the layout names now"),
        }
    }
    info!("postrider has stopped");
    Ok(())
}

/// The brokers should remember for this long how far a source was read while nobody reads it.
const MIN_OFFSETS_RETENTION: Duration = Duration::from_hours(30 * 24);
/// How long they may take to say for how long they do.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// A group whose offsets were forgotten begins where its source starts: at the oldest record that is kept it delivers
/// everything again, at the latest it misses what came meanwhile.
async fn warn_if_offsets_are_forgotten(kafka: &KafkaConfig) {
    match tokio::time::timeout(ASK_PATIENCE, offsets_retention(kafka)).await {
        Ok(Ok(Some(retention))) if retention < MIN_OFFSETS_RETENTION => warn!(
            "the brokers forget after {} how far sources were read while no matcher runs (offsets.retention.minutes); \
             each then begins as at its first start, which repeats or skips events: set it to 43200 (30 days) or more",
            humantime::format_duration(retention)
        ),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(%error, "the brokers do not say for how long they remember offsets"),
        Err(_) => debug!("the brokers did not say in time for how long they remember offsets"),
    }
}

/// Why the roles have ended.
enum Ended {
    /// A signal came.
    Told,
    /// The topics were resized, or were about to be.
    Outdated,
}

/// Runs the roles until a signal comes, or the topics that they work on are not those in use any more.
async fn serve(
    needs: &Needs,
    roles: &[Role],
    loaded: &Loaded,
    metrics: &PrometheusHandle,
    signals: &mut Signals,
) -> Result<Ended, Failure> {
    let shutdown = Shutdown::new();
    let opened = tokio::select! {
        opened = needs.open_kafka(loaded, &shutdown) => opened,
        _ = signals.next() => return Ok(Ended::Told),
    };
    let kafka = opened?;
    let (producer, patient_producer, layout) =
        (kafka.producer.clone(), kafka.patient_producer.clone(), kafka.layout.clone());
    let parts = Parts {
        config: loaded.config.clone(),
        kafka,
        postgres: needs.postgres.clone(),
        schemas: needs.schemas.clone(),
        key_ring: needs.key_ring.clone(),
        readiness: Readiness::new(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    };
    let mut lifecycle = Lifecycle::new(shutdown, loaded.config.shutdown.drain);
    roles::start(&parts, roles, &mut lifecycle).await?;
    drop(parts);
    let (mut told, mut outdated) = (false, !roles.iter().any(|role| role.is_bound_to_generation()));
    let next_stop = async || {
        tokio::select! {
            signal = signals.next() => {
                told = true;
                signal
            }
            () = until_outdated(&layout), if !outdated => {
                outdated = true;
                "the end of a resize"
            }
        }
    };
    let ended = lifecycle.run(next_stop).await;
    tokio::join!(producer.flush(FLUSH_PATIENCE), patient_producer.flush(FLUSH_PATIENCE));
    ended?;
    Ok(if told { Ended::Told } else { Ended::Outdated })
}

/// Waits for the end of a resize, or of an attempt at one: by then the stages have stopped.
async fn until_outdated(layout: &Layout) {
    layout.wait_until(|standing| standing != Standing::InUse).await;
    layout.wait_until(|standing| standing != Standing::Resizing).await;
}

/// How long records that were sent may take to be acknowledged at the very end.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// What the roles need, reached.
struct Needs {
    kafka: KafkaConfig,
    postgres: Option<Database>,
    schemas: Option<Arc<dyn Schemas>>,
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
        let schemas = roles::schemas(loaded)?;
        let needs_postgres = roles.iter().find(|role| role.needs_postgres()).map(|role| format!("the role {role}"));
        if let Some(role) = &needs_postgres {
            loaded.postgres_url(role)?;
        }
        connections::reach_kafka(&kafka).await?;
        let postgres = match needs_postgres {
            Some(role) => Some(connections::postgres(loaded, &role).await?),
            None => None,
        };
        Ok(Self { kafka, postgres, schemas, key_ring })
    }

    async fn open_kafka(&self, loaded: &Loaded, shutdown: &Shutdown) -> anyhow::Result<Kafka> {
        let config = &loaded.config;
        let topics = Topics::new(&config.kafka.topic_prefix);
        let create = config.topics.create.then(|| connections::topic_settings(config));
        Kafka::open(self.kafka.clone(), topics, connections::tiers(config), create, shutdown).await
    }
}
