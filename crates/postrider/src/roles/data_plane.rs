//! The roles that never need Postgres: matcher, dispatcher, retrier.

use std::future::Future;

use anyhow::{Error, anyhow};
use postrider_kafka::Shutdown;
use postrider_pipeline::{
    directory::Directory,
    dispatcher::{Dispatcher, DispatcherConfig, DispatcherDeps},
    egress::{EgressClient, EgressConfig},
    matcher::{Matcher, MatcherConfig, MatcherDeps},
    replayer::{KafkaLogs, Replayer, ReplayerDeps},
    resize::stand_by,
    retrier::{Retrier, RetrierDeps},
    stage::StageError,
};

use super::{Parts, sources::sources};
use crate::{cli::Role, lifecycle::Lifecycle};

/// Starts those of `roles` that are of the data plane, and the directory that they look things up in.
pub fn start(parts: &Parts, roles: &[Role], lifecycle: &mut Lifecycle) -> anyhow::Result<()> {
    let wanted = |role| roles.contains(&role);
    if wanted(Role::Matcher) || wanted(Role::Dispatcher) || wanted(Role::Replayer) {
        let directory = start_directory(parts, lifecycle);
        if wanted(Role::Dispatcher) {
            start_dispatcher(parts, directory.clone(), lifecycle)?;
        }
        if wanted(Role::Matcher) {
            start_matcher(parts, directory.clone(), lifecycle);
        }
        if wanted(Role::Replayer) {
            start_replayer(parts, directory, lifecycle)?;
        }
    }
    if wanted(Role::Retrier) {
        start_retrier(parts, lifecycle);
    }
    Ok(())
}

fn start_directory(parts: &Parts, lifecycle: &mut Lifecycle) -> Directory {
    let kafka = &parts.kafka;
    let directory = Directory::new(kafka.layout.codec().clone());
    let following = directory.clone().run(
        kafka.config.clone(),
        kafka.topics.clone(),
        parts.readiness.register("directory"),
        parts.shutdown.clone(),
    );
    lifecycle.spawn("the directory", async { following.await.map_err(Error::msg) });
    directory
}

fn start_matcher(parts: &Parts, directory: Directory, lifecycle: &mut Lifecycle) {
    let kafka = &parts.kafka;
    let config = MatcherConfig { sources: sources(&parts.config), shutdown_drain: parts.config.shutdown.drain };
    let deps = MatcherDeps {
        kafka: kafka.config.clone(),
        topics: kafka.topics.clone(),
        layout: kafka.layout.clone(),
        directory,
        schemas: parts.schemas.clone(),
        sink: kafka.producer.clone(),
        readiness: parts.readiness.clone(),
    };
    spawn("the matcher", parts, lifecycle, |shutdown| Matcher::new(config, deps).run(shutdown));
}

fn start_dispatcher(parts: &Parts, directory: Directory, lifecycle: &mut Lifecycle) -> anyhow::Result<()> {
    let (kafka, section) = (&parts.kafka, &parts.config.dispatcher);
    let config = DispatcherConfig {
        max_queued_per_lane: in_memory(section.max_queued_per_lane),
        lane_concurrency: u16::try_from(section.lane_concurrency.get()).unwrap_or(u16::MAX),
        park_after: section.park_after,
        hold_after: section.hold_after,
        max_parked_per_endpoint: in_memory(section.max_parked_per_endpoint),
        ordered_wait: section.ordered_wait,
        egress_gate: section.egress_gate,
        egress_grace: section.egress_grace,
        max_waiting_bytes: section.max_waiting_bytes.in_memory(),
        shutdown_drain: parts.config.shutdown.drain,
    };
    let deps = DispatcherDeps {
        kafka: kafka.config.clone(),
        topics: kafka.topics.clone(),
        layout: kafka.layout.clone(),
        tiers: kafka.tiers.clone(),
        directory,
        sink: kafka.patient_producer.clone(),
        courier: courier(parts)?,
        keys: parts.key_ring(),
        policy: parts.egress_policy(),
        readiness: parts.readiness.clone(),
    };
    spawn("the dispatcher", parts, lifecycle, |shutdown| Dispatcher::new(config, deps).run(shutdown));
    Ok(())
}

fn start_retrier(parts: &Parts, lifecycle: &mut Lifecycle) {
    let kafka = &parts.kafka;
    let deps = RetrierDeps {
        kafka: kafka.config.clone(),
        topics: kafka.topics.clone(),
        layout: kafka.layout.clone(),
        tiers: kafka.tiers.clone(),
        sink: kafka.patient_producer.clone(),
        readiness: parts.readiness.clone(),
    };
    spawn("the retrier", parts, lifecycle, |shutdown| Retrier::new(deps).run(shutdown));
}

fn start_replayer(parts: &Parts, directory: Directory, lifecycle: &mut Lifecycle) -> anyhow::Result<()> {
    let kafka = &parts.kafka;
    let logs = KafkaLogs::new(&kafka.config, &kafka.topics, &kafka.layout).map_err(Error::msg)?;
    let deps = ReplayerDeps {
        kafka: kafka.config.clone(),
        topics: kafka.topics.clone(),
        layout: kafka.layout.clone(),
        directory,
        sources: sources(&parts.config),
        schemas: parts.schemas.clone(),
        logs,
        sink: kafka.patient_producer.clone(),
        readiness: parts.readiness.clone(),
    };
    spawn("the replayer", parts, lifecycle, |shutdown| Replayer::new(deps).run(shutdown));
    Ok(())
}

/// Starts a stage that is bound to the generation of topics in use.
fn spawn<F>(
    stage: &'static str,
    parts: &Parts,
    lifecycle: &mut Lifecycle,
    run: impl FnOnce(Shutdown) -> F + Send + 'static,
) where
    F: Future<Output = Result<(), StageError>> + Send + 'static,
{
    let (layout, readiness) = (parts.kafka.layout.clone(), parts.readiness.clone());
    let running = stand_by(stage, layout, readiness, parts.shutdown.clone(), parts.config.shutdown.drain, run);
    lifecycle.spawn(stage, running);
}

/// The HTTP client of deliveries.
pub(super) fn courier(parts: &Parts) -> anyhow::Result<EgressClient> {
    let egress = &parts.config.egress;
    let config = EgressConfig {
        policy: parts.egress_policy(),
        dns_servers: egress.dns_servers.iter().map(|server| server.0).collect(),
        ca_file: egress.ca_file.clone(),
        proxy: egress.proxy.as_ref().map(|proxy| proxy.0.clone()),
    };
    EgressClient::new(&config, parts.resolver()?).map_err(|reason| anyhow!(reason))
}

/// A count, as the number of things in memory.
pub(super) fn in_memory(count: std::num::NonZeroU32) -> usize {
    usize::try_from(count.get()).unwrap_or(usize::MAX)
}
