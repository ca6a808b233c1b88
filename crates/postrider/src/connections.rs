//! Reaching Kafka and Postgres at start, with failures that name what to mend.

use std::time::Duration;

use anyhow::{Context, anyhow};
use postrider_domain::tier::Tiers;
use postrider_kafka::{BrokerClock, KafkaConfig, Layout, Producer, Shutdown, TopicSettings, Topics};
use postrider_postgres::{Database, SERVICE_ROLE, Wall};

use crate::{
    config::{Config, Loaded},
    failure::Failure,
};

/// How long Kafka may take to answer at start.
const KAFKA_PATIENCE: Duration = Duration::from_secs(8);

/// What every part that works with Kafka shares.
#[derive(Clone)]
pub struct Kafka {
    /// How to reach it.
    pub config: KafkaConfig,
    /// The names of the topics, in the generation that is in use.
    pub topics: Topics,
    /// The retry tiers.
    pub tiers: Tiers,
    /// Writes what somebody waits for.
    pub producer: Producer,
    /// Writes what nobody waits for.
    pub patient_producer: Producer,
    /// Partition counts and schemas.
    pub layout: Layout,
}

impl Kafka {
    /// Opens the producer and the layout. Creates missing topics if `create` says how.
    pub async fn open(
        config: KafkaConfig,
        topics: Topics,
        tiers: Tiers,
        create: Option<TopicSettings>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let clock = BrokerClock::new(config.embedded);
        let producer = Producer::new(&config, clock.clone()).map_err(|reason| anyhow!("{reason}"))?;
        let patient_producer = Producer::patient(&config, clock).map_err(|reason| anyhow!("{reason}"))?;
        let layout = Layout::open(&config, &topics, &tiers, create, &producer, shutdown).await?;
        let topics = layout.topics().clone();
        Ok(Self { config, topics, tiers, producer, patient_producer, layout })
    }
}

/// How to reach Kafka, as configured.
pub fn kafka_config(loaded: &Loaded, needed_by: &str) -> Result<KafkaConfig, Failure> {
    let config = &loaded.config;
    Ok(KafkaConfig {
        bootstrap_servers: loaded.bootstrap_servers(needed_by)?.to_owned(),
        properties: config.kafka.properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        client_id: config.kafka.client_id.clone(),
        instance_id: config.instance_id.clone(),
        embedded: false,
    })
}

/// Fails soon, and names the brokers, if none answers.
pub async fn reach_kafka(kafka: &KafkaConfig) -> anyhow::Result<()> {
    let answer = kafka.check_connection(KAFKA_PATIENCE).await;
    answer.map_err(|error| anyhow!("{error}; check that a broker runs there and that kafka.properties fit it"))
}

/// The retry tiers, as configured.
pub fn tiers(config: &Config) -> Tiers {
    Tiers::new(config.retry.tiers.iter().copied()).expect("the tiers were checked when the configuration was read")
}

/// How missing topics are to be created, as configured.
pub fn topic_settings(config: &Config) -> TopicSettings {
    let topics = &config.topics;
    let copies = topics.replication_factor.get();
    let in_sync = topics.min_insync_replicas.map_or_else(|| copies.saturating_sub(1).max(1), std::num::NonZeroU32::get);
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    TopicSettings {
        partitions: number(topics.partitions.get()),
        replication_factor: number(copies),
        min_insync_replicas: number(in_sync),
    }
}

/// Connects to a database whose schema is up to date.
pub async fn postgres(loaded: &Loaded, needed_by: &str) -> Result<Database, Failure> {
    let url = loaded.postgres_url(needed_by)?;
    let connections = loaded.config.postgres.max_connections.get();
    let database = postrider_postgres::connect_service(url.reveal(), connections).await.context("postgres.url")?;
    match database.pending_migrations() {
        [] => {
            if database.wall() == Wall::RoleSet {
                tracing::info!("the user of postgres.url gives up its rights for those of {SERVICE_ROLE}");
            }
            Ok(database)
        }
        missing => {
            Err(anyhow!("the database lacks the migrations {}: run `postrider migrate`", missing.join(", ")).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_need_all_copies_but_one() {
        let mut config = Config::default();
        assert_eq!(topic_settings(&config).min_insync_replicas, 1);
        config.topics.replication_factor = std::num::NonZeroU32::new(3).unwrap();
        assert_eq!(topic_settings(&config).min_insync_replicas, 2);
        config.topics.min_insync_replicas = std::num::NonZeroU32::new(3);
        assert_eq!(topic_settings(&config).min_insync_replicas, 3);
    }
}
