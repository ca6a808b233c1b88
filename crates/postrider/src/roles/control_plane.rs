//! The roles that work with Postgres: API, relay, projector.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use postrider_control::{
    api::{Api, ApiConfig, ApiState, HostResolver, KafkaPublisher},
    event_schemas::EventSchemas,
    projector::Projector,
    relay::{Relay, RelayConfig},
};
use postrider_pipeline::egress::{EndpointTls, ResolveError, VettedResolver};
use tracing::info;

use super::Parts;
use crate::lifecycle::Lifecycle;

/// Starts the API; answers where it listens.
pub async fn start_api(parts: &Parts, lifecycle: &mut Lifecycle) -> anyhow::Result<SocketAddr> {
    let section = &parts.config.api;
    let api = Api::bind(ApiConfig {
        listen: section.listen,
        public_url: section.public_url.clone(),
        max_body_bytes: section.max_body_bytes.in_memory(),
        request_timeout: section.request_timeout,
        publish_timeout: section.publish_timeout,
    })
    .await?;
    let address = api.local_addr()?;
    let kafka = &parts.kafka;
    let metrics = parts.metrics.clone();
    let state = ApiState {
        pool: parts.postgres(),
        key_ring: parts.key_ring(),
        egress: parts.egress_policy(),
        resolver: Arc::new(DeliveryResolver(parts.resolver()?)),
        check_certificates,
        event_schemas: EventSchemas::default(),
        publisher: Arc::new(KafkaPublisher::new(kafka.producer.clone(), kafka.layout.clone(), kafka.topics.events())),
        broker_clock: kafka.producer.clock().clone(),
        readiness: parts.readiness.clone(),
        metrics: Arc::new(move || metrics.render()),
    };
    lifecycle.spawn("the API", api.run(state, parts.shutdown.clone()));
    info!(%address, "the API listens");
    Ok(address)
}

fn check_certificates(identity: Option<&[u8]>, authorities: Option<&[u8]>) -> Result<(), String> {
    EndpointTls::parse(identity, authorities).map(drop).map_err(|error| error.to_string())
}

/// Starts the relay.
pub fn start_relay(parts: &Parts, lifecycle: &mut Lifecycle) {
    let kafka = &parts.kafka;
    let relay = Relay::new(
        RelayConfig::default(),
        parts.postgres(),
        kafka.config.clone(),
        kafka.topics.clone(),
        kafka.layout.codec().clone(),
        parts.readiness.register("relay"),
    );
    let shutdown = parts.shutdown.clone();
    lifecycle.spawn("the relay", async move {
        relay.run(shutdown).await;
        Ok::<(), Infallible>(())
    });
}

/// Starts the projector.
pub fn start_projector(parts: &Parts, lifecycle: &mut Lifecycle) {
    let kafka = &parts.kafka;
    let projector = Projector::new(
        kafka.config.clone(),
        kafka.topics.clone(),
        parts.postgres(),
        kafka.layout.codec().clone(),
        kafka.producer.clone(),
        parts.readiness.register("projector"),
    );
    lifecycle.spawn("the projector", projector.run(parts.shutdown.clone()));
}

/// Looks names up as deliveries do, for the API.
struct DeliveryResolver(VettedResolver);

impl HostResolver for DeliveryResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send + 'a>> {
        Box::pin(async move {
            match self.0.resolve(host).await {
                Ok(addresses) => Ok(addresses),
                // The API says itself which address it refuses.
                Err(ResolveError::Refused { address, .. }) => Ok(vec![address]),
                Err(error @ ResolveError::Failed { .. }) => Err(error.to_string()),
            }
        })
    }
}
