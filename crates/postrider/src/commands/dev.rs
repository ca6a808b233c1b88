//! `postrider dev`: everything in one process, on a broker and a Postgres that are thrown away.

use std::{convert::Infallible, future::pending, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use postrider_control::{
    audit::Actor,
    auth::Scope,
    clock,
    manage::{
        Edit, Precondition,
        api_keys::{self, NewApiKey},
        tenants,
    },
};
use postrider_domain::{egress::IpNet, seal::KeyRing};
use postrider_kafka::{KafkaConfig, Readiness, Shutdown, Topics, mock::MockBroker};
use postrider_pipeline::matcher::Schemas;
use postrider_postgres::{Database, local::LocalPostgres, tenants::Quotas};

use super::dev_banner::Sample;
use crate::{
    cli::{Dev, Output, Role},
    config::{Config, Loaded},
    connections::{self, Kafka},
    failure::Failure,
    lifecycle::{Lifecycle, Signals},
    roles::{self, Parts},
    telemetry,
};

/// How long everything may take to be ready.
const START_LIMIT: Duration = Duration::from_mins(1);
const READY_POLL: Duration = Duration::from_millis(20);

/// The networks that deliveries of `dev` may reach besides the public ones.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// Starts everything, prints where it is, and runs until it is told to stop.
pub async fn run(arguments: &Dev, loaded: &Loaded) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    telemetry::start_logs(&loaded.config.log)?;
    let (config, schemas) = (dev_config(loaded.config.clone(), arguments.listen), roles::schemas(loaded)?);
    let started = tokio::select! {
        started = Servers::start(&config) => started?,
        _ = signals.next() => return Ok(()),
    };
    let ended = serve(&started, config, schemas, arguments.output, &mut signals).await;
    let stopped = started.stop().await;
    ended?;
    stopped.map_err(Failure::from)
}

/// The configuration, with what `dev` is for: deliveries to this machine, over plain HTTP.
fn dev_config(mut config: Config, listen: Option<SocketAddr>) -> Config {
    config.api.listen = listen.unwrap_or(config.api.listen);
    config.egress.allow_http = true;
    let loopback = LOOPBACK.map(|network| network.parse::<IpNet>().expect("the loopback networks are networks"));
    config.egress.allowed_networks.extend(loopback);
    config
}

/// The servers that `dev` brings along.
struct Servers {
    postgres: LocalPostgres,
    pool: Database,
    broker: MockBroker,
}

impl Servers {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let topics = topics_of(config);
        let broker = tokio::task::spawn_blocking(move || MockBroker::start(topics));
        let postgres = LocalPostgres::start(None).await.context("the throwaway Postgres did not start")?;
        let broker = broker.await?.map_err(|reason| anyhow!("{reason}"))?;
        let url = postgres.create_database("postrider").await?;
        let owner = postrider_postgres::connect(&url, 1).await?;
        postrider_postgres::migrate(&owner).await.context("the throwaway Postgres did not take a migration")?;
        owner.close().await;
        let url = postgres.service_url("postrider");
        let pool = postrider_postgres::connect_service(&url, config.postgres.max_connections.get()).await?;
        Ok(Self { postgres, pool, broker })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.pool.close().await;
        self.postgres.stop().await.context("the throwaway Postgres did not stop")?;
        drop(self.broker);
        Ok(())
    }
}

/// Every topic that the in-process broker must have, with its partitions.
fn topics_of(config: &Config) -> Vec<(String, i32)> {
    let partitions = i32::try_from(config.topics.partitions.get()).unwrap_or(i32::MAX);
    let own = Topics::new(&config.kafka.topic_prefix).specs(&connections::tiers(config));
    let mut topics: Vec<(String, i32)> =
        own.into_iter().map(|spec| (spec.name, if spec.single_partition { 1 } else { partitions })).collect();
    for named in config.sources.iter().filter_map(|source| source.topic.as_ref()) {
        if !topics.iter().any(|(topic, _)| topic == named) {
            topics.push((named.clone(), partitions));
        }
    }
    topics
}

async fn serve(
    servers: &Servers,
    config: Config,
    schemas: Option<Arc<dyn Schemas>>,
    output: Output,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let metrics = telemetry::start_metrics()?;
    let shutdown = Shutdown::new();
    let kafka = KafkaConfig {
        properties: config.kafka.properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..KafkaConfig::embedded(servers.broker.bootstrap_servers(), &config.kafka.client_id)
    };
    let topics = Topics::new(&config.kafka.topic_prefix);
    let kafka = Kafka::open(kafka, topics, connections::tiers(&config), None, &shutdown).await?;
    let key_ring = KeyRing::parse(&KeyRing::generate_text(&mut clock::rng())).expect("a generated key is valid");
    let mut lifecycle = Lifecycle::new(shutdown.clone(), config.shutdown.drain);
    let parts = Parts {
        config,
        kafka,
        postgres: Some(servers.pool.clone()),
        schemas,
        key_ring: Some(key_ring.clone()),
        readiness: Readiness::new(),
        metrics: metrics.clone(),
        shutdown,
    };
    let api = roles::start(&parts, &Role::ALL, &mut lifecycle).await?.expect("the API is among all roles");
    let announce = async {
        wait_ready(&parts.readiness).await?;
        let sample = sample(servers, &key_ring, api, parts.kafka.topics.events()).await?;
        sample.print(output);
        pending::<anyhow::Result<Infallible>>().await
    };
    tokio::select! {
        ended = lifecycle.run(async || signals.next().await) => ended,
        failed = announce => failed.map(|never| match never {}),
        () = telemetry::keep_up(metrics) => unreachable!("the upkeep of metrics does not end"),
    }
}

async fn wait_ready(readiness: &Readiness) -> anyhow::Result<()> {
    let ready = tokio::time::timeout(START_LIMIT, async {
        while !readiness.is_ready() {
            tokio::time::sleep(READY_POLL).await;
        }
    });
    ready.await.map_err(|_| {
        let unready = readiness.report().into_iter().filter_map(|(part, state)| Some((part, state.err()?)));
        let unready: Vec<String> = unready.map(|(part, reason)| format!("{part}: {reason}")).collect();
        anyhow!("not ready after {START_LIMIT:?}: {}", unready.join("; "))
    })
}

/// Makes an operator key, a tenant and a key of it.
async fn sample(servers: &Servers, key_ring: &KeyRing, api: SocketAddr, topic: String) -> anyhow::Result<Sample> {
    let (actor, mut rng) = (Actor::cli(), clock::rng());
    let precondition = &Precondition::AnyVersion;
    let edit = Edit { pool: &servers.pool, key_ring, actor: &actor, now: clock::now(), precondition };
    let key = |tenant, name: &str| NewApiKey {
        tenant,
        name: name.to_owned(),
        scopes: vec![Scope::All],
        allowed_cidrs: Vec::new(),
        rate_limit: None,
        expires_at: None,
    };
    let (_, operator_key) = api_keys::create(edit, key(None, "dev"), &mut rng).await?;
    let tenant = tenants::create(edit, "Sample tenant", Quotas::default(), &mut rng).await?;
    let (_, tenant_key) = api_keys::create(edit, key(Some(tenant.id.clone()), "sample"), &mut rng).await?;
    Ok(Sample {
        kafka: servers.broker.bootstrap_servers().to_owned(),
        api: format!("http://{api}"),
        docs: format!("http://{api}/docs"),
        operator_key: operator_key.to_string(),
        tenant: tenant.id.to_string(),
        tenant_key: tenant_key.to_string(),
        topic,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_may_reach_this_machine_over_http() {
        let config = dev_config(Config::default(), Some(([127, 0, 0, 1], 0).into()));
        assert_eq!(config.api.listen.port(), 0);
        assert!(config.egress.allow_http);
        assert!(config.egress.allowed_networks.iter().any(|network| network.to_string() == "127.0.0.0/8"));
    }

    #[test]
    fn the_broker_has_every_topic_once() {
        let mut topics = topics_of(&Config::default());
        let count = topics.len();
        topics.sort();
        topics.dedup_by(|(a, _), (b, _)| a == b);
        assert_eq!(topics.len(), count);
        assert!(topics.contains(&("postrider.events".to_owned(), 6)));
        assert!(topics.contains(&("postrider.config".to_owned(), 1)));
    }
}
