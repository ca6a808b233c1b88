//! The roles that work with Postgres: API, relay, projector.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use anyhow::anyhow;
use postrider_control::{
    api::{
        Api, ApiConfig, ApiState, EventReader, Handshakes, HostResolver, KafkaDeliveries, KafkaPublisher, NoEvents,
        Question, Reply,
    },
    auth::{
        access::{Access, AccessConfig},
        http_keys::HttpKeys,
        lockout::LockoutConfig,
        token::{TokenConfig, Tokens},
    },
    event_schemas::EventSchemas,
    projector::Projector,
    relay::{Relay, RelayConfig},
    replays::{KafkaReplayJobs, Replays},
    rotation::Rotation,
    security::SecurityLog,
    test_sends::KafkaTestSender,
    upkeep::Upkeep,
};
use postrider_domain::{Event, SourceCoordinates};
use postrider_kafka::RecordFetcher;
use postrider_pipeline::{
    egress::{EgressClient, EndpointTls, Handshake, ResolveError, VettedResolver},
    matcher::{self, EventLookup},
};
use tracing::info;

use super::{
    Parts,
    data_plane::courier,
    sources::{replay_source, sources},
};
use crate::{
    config::{ApiSection, JwtSection},
    connections::Kafka,
    lifecycle::Lifecycle,
};

/// Starts the API; answers where it listens.
pub async fn start_api(parts: &Parts, lifecycle: &mut Lifecycle) -> anyhow::Result<SocketAddr> {
    let section = &parts.config.api;
    let api = Api::bind(ApiConfig {
        listen: section.listen,
        public_url: section.public_url.clone(),
        cors_origins: section.cors_origins.clone(),
        max_body_bytes: section.max_body_bytes.in_memory(),
        request_timeout: section.request_timeout,
        publish_timeout: section.publish_timeout,
        retention: parts.config.retention.to_retention(),
    })
    .await?;
    let address = api.local_addr()?;
    let kafka = &parts.kafka;
    let metrics = parts.metrics.clone();
    let fetcher = RecordFetcher::new(kafka.config.clone());
    let (layout, topics) = (kafka.layout.clone(), &kafka.topics);
    let deliveries = KafkaDeliveries::new(&kafka.config, fetcher.clone(), kafka.producer.clone(), layout, topics);
    let deliveries = deliveries.map_err(anyhow::Error::msg)?;
    let events = EventLookup::new(fetcher, sources(&parts.config), parts.schemas.as_ref());
    let state = ApiState {
        pool: parts.postgres(),
        key_ring: parts.key_ring(),
        access: access(section, &parts.config.jwt)?,
        egress: parts.egress_policy(),
        resolver: Arc::new(DeliveryResolver(parts.resolver()?)),
        check_certificates,
        handshakes: Arc::new(DeliveryHandshakes(courier(parts)?)),
        event_schemas: EventSchemas::default(),
        publisher: Arc::new(KafkaPublisher::new(kafka.producer.clone(), kafka.layout.clone(), kafka.topics.events())),
        replays: Arc::new(replay_jobs(parts)),
        tests: Arc::new(KafkaTestSender::new(kafka.config.clone(), kafka.layout.clone(), kafka.producer.clone())),
        events: Arc::new(SourceEvents(events)),
        deliveries: Arc::new(deliveries),
        broker_clock: kafka.producer.clock().clone(),
        security: SecurityLog::default(),
        readiness: parts.readiness.clone(),
        metrics: Arc::new(move || metrics.render()),
    };
    lifecycle.spawn("the API", api.run(state, parts.shutdown.clone()));
    let rotation = Rotation { pool: parts.postgres(), key_ring: parts.key_ring() };
    let shutdown = parts.shutdown.clone();
    lifecycle.spawn("the rotation of secrets", async move {
        rotation.run(shutdown).await;
        Ok::<(), Infallible>(())
    });
    info!(%address, "the API listens");
    Ok(address)
}

fn replay_jobs(parts: &Parts) -> KafkaReplayJobs {
    let Kafka { config, topics, layout, producer, .. } = parts.kafka.clone();
    let replays = Replays::new(config, topics, layout.clone(), producer.clone());
    let config = parts.config.clone();
    let source_of = Arc::new(move |name: &str, topic: Option<&str>| replay_source(&config, name, topic));
    KafkaReplayJobs::new(replays, layout, producer, source_of)
}

/// How callers are told apart, as configured.
fn access(section: &ApiSection, jwt: &JwtSection) -> anyhow::Result<Access> {
    let config = AccessConfig {
        trusted_proxies: section.trusted_proxies.clone(),
        rate_limit_share: section.rate_limit_share,
        lockout: LockoutConfig {
            bad_keys: section.lockout_bad_keys,
            within: section.lockout_within,
            lasts: section.lockout_time,
        },
    };
    let (Some(issuer), Some(audience), Some(url)) = (&jwt.issuer, &jwt.audience, &jwt.jwks_url) else {
        return Ok(Access::new(config, None));
    };
    let source = HttpKeys::new(url.clone()).map_err(|reason| anyhow!("jwt.jwks_url: {reason}"))?;
    let tokens = TokenConfig {
        issuer: issuer.clone(),
        audience: audience.clone(),
        tenant_claim: jwt.tenant_claim.clone(),
        scope_claim: jwt.scope_claim.clone(),
    };
    Ok(Access::new(config, Some(Tokens::new(tokens, source))))
}

fn check_certificates(identity: Option<&[u8]>, authorities: Option<&[u8]>) -> Result<(), String> {
    EndpointTls::parse(identity, authorities).map(drop).map_err(|error| error.to_string())
}

/// Asks endpoints by the road that deliveries take.
struct DeliveryHandshakes(EgressClient);

impl Handshakes for DeliveryHandshakes {
    fn send(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + '_>> {
        Box::pin(async move {
            let (identity, ca) = (question.client_identity.as_ref(), question.ca.as_ref());
            let tls = EndpointTls::parse(identity.map(|pem| pem.as_slice()), ca.map(String::as_bytes));
            let handshake = Handshake {
                tenant: question.tenant,
                url: question.url,
                tls: tls.map_err(|error| error.to_string())?.map(Arc::new),
                json: question.json,
                headers: question.headers,
                deadline: question.deadline,
            };
            let answer = self.0.shake_hands(handshake).await?;
            Ok(Reply { status: answer.status, headers: answer.headers, body: answer.body })
        })
    }
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
        parts.key_ring(),
        parts.readiness.register("relay"),
    );
    let shutdown = parts.shutdown.clone();
    lifecycle.spawn("the relay", async move {
        relay.run(shutdown).await;
        Ok::<(), Infallible>(())
    });
}

/// Starts the projector, and the upkeep of what it writes.
pub fn start_projector(parts: &Parts, lifecycle: &mut Lifecycle) {
    let kafka = &parts.kafka;
    let projector = Projector::new(
        kafka.config.clone(),
        kafka.topics.clone(),
        parts.postgres(),
        kafka.layout.codec().clone(),
        kafka.producer.clone(),
        parts.config.projector.to_policy(),
        parts.readiness.register("projector"),
    );
    lifecycle.spawn("the projector", projector.run(parts.shutdown.clone()));
    let upkeep = Upkeep::new(parts.postgres(), parts.config.retention.to_retention());
    let shutdown = parts.shutdown.clone();
    lifecycle.spawn("the upkeep of the log", async move {
        upkeep.run(shutdown).await;
        Ok::<(), Infallible>(())
    });
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

/// Reads events as the matchers do, for the API.
struct SourceEvents(EventLookup);

impl EventReader for SourceEvents {
    fn events_at<'a>(
        &'a self,
        at: &'a SourceCoordinates,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Event>, NoEvents>> + Send + 'a>> {
        Box::pin(async move {
            self.0.events_at(at).await.map_err(|error| match error {
                matcher::NoEvents::Gone => NoEvents::Gone,
                matcher::NoEvents::Rejected(reason) => NoEvents::Rejected(reason),
                matcher::NoEvents::Unavailable(reason) => NoEvents::Unavailable(reason),
            })
        })
    }
}
