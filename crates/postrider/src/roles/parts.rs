//! Starting the roles of a process.

use std::{net::SocketAddr, sync::Arc};

use anyhow::anyhow;
use metrics_exporter_prometheus::PrometheusHandle;
use postrider_domain::{egress::EgressPolicy, seal::KeyRing};
use postrider_kafka::{Readiness, Shutdown};
use postrider_pipeline::{egress::VettedResolver, matcher::Schemas};
use postrider_postgres::Database;

use super::{control_plane, data_plane};
use crate::{cli::Role, config::Config, connections::Kafka, lifecycle::Lifecycle};

/// What the roles of a process share.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// Kafka.
    pub kafka: Kafka,
    /// Postgres, if a role needs it.
    pub postgres: Option<Database>,
    /// What turns Avro into JSON, if it is configured.
    pub schemas: Option<Arc<dyn Schemas>>,
    /// The master keys, if a role needs them.
    pub key_ring: Option<KeyRing>,
    /// What `/readyz` tells.
    pub readiness: Readiness,
    /// What `/metrics` tells.
    pub metrics: PrometheusHandle,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl Parts {
    /// The database.
    pub fn postgres(&self) -> Database {
        self.postgres.clone().expect("whoever starts a role that needs Postgres connects first")
    }

    /// The master keys.
    pub fn key_ring(&self) -> KeyRing {
        self.key_ring.clone().expect("whoever starts a role that needs the master keys reads them first")
    }

    /// What deliveries may reach.
    pub fn egress_policy(&self) -> EgressPolicy {
        let egress = &self.config.egress;
        EgressPolicy { allow_http: egress.allow_http, allowed_networks: egress.allowed_networks.clone() }
    }

    /// The resolver of deliveries.
    pub fn resolver(&self) -> anyhow::Result<VettedResolver> {
        let servers: Vec<SocketAddr> = self.config.egress.dns_servers.iter().map(|server| server.0).collect();
        VettedResolver::new(&servers, self.egress_policy()).map_err(|reason| anyhow!("egress.dns_servers: {reason}"))
    }
}

/// Starts `roles` as tasks of `lifecycle`. Answers where the API listens, if it is among them.
pub async fn start(parts: &Parts, roles: &[Role], lifecycle: &mut Lifecycle) -> anyhow::Result<Option<SocketAddr>> {
    let mut api = None;
    if roles.contains(&Role::Api) {
        api = Some(control_plane::start_api(parts, lifecycle).await?);
    }
    if roles.contains(&Role::Relay) {
        control_plane::start_relay(parts, lifecycle);
    }
    if roles.contains(&Role::Projector) {
        control_plane::start_projector(parts, lifecycle);
    }
    data_plane::start(parts, roles, lifecycle)?;
    Ok(api)
}
