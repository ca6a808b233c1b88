//! What the API is configured with, and what it works on.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use postrider_domain::{
    Delivery, Event, Routing, SourceCoordinates, TenantId, Timestamp,
    egress::{EgressPolicy, Url},
    overrides::Override,
    seal::{KeyRing, Zeroizing},
};
use postrider_kafka::{BrokerClock, Readiness};
use postrider_postgres::Database;

use crate::{
    auth::access::Access, replays::ReplayJobs, security::SecurityLog, test_sends::TestSender, upkeep::Retention,
};

use crate::event_schemas::EventSchemas;

/// How the API is served.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Under which URL its callers know it, for the document; none: relative.
    pub public_url: Option<String>,
    /// The origins of web pages that may call it, as browsers send them; `*` for all.
    pub cors_origins: Vec<String>,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long a publish waits for Kafka's acknowledgement.
    pub publish_timeout: Duration,
    /// How long what is kept.
    pub retention: Retention,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            cors_origins: Vec::new(),
            max_body_bytes: 2 << 20,
            request_timeout: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(10),
            retention: Retention::default(),
        }
    }
}

/// What the API works on. Clones share it.
#[derive(Clone)]
pub struct ApiState {
    /// The database.
    pub pool: Database,
    /// The keys that seal secrets and hash API keys.
    pub key_ring: KeyRing,
    /// What is known of callers: their limits, who is locked out, what keys are used for.
    pub access: Access,
    /// Which URLs an endpoint may have.
    pub egress: EgressPolicy,
    /// Looks up the addresses of an endpoint's host.
    pub resolver: Arc<dyn HostResolver>,
    /// Whether deliveries can be made with certificates of an endpoint's own.
    pub check_certificates: CertificateCheck,
    /// Asks endpoints whether they want events.
    pub handshakes: Arc<dyn Handshakes>,
    /// By which published events are refused.
    pub event_schemas: EventSchemas,
    /// Writes published events.
    pub publisher: Arc<dyn Publisher>,
    /// Makes and directs replays.
    pub replays: Arc<dyn ReplayJobs>,
    /// Sends tests.
    pub tests: Arc<dyn TestSender>,
    /// Reads events again where they stand.
    pub events: Arc<dyn EventReader>,
    /// Reads deliveries where they stand, and writes orders about them.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// The time at the broker, by which events are matched: as far as this process's producer has learned it.
    pub broker_clock: BrokerClock,
    /// Where it notes what it refused.
    pub security: SecurityLog,
    /// What `/readyz` tells.
    pub readiness: Readiness,
    /// What `/metrics` tells: Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Looks up addresses the way deliveries do.
pub trait HostResolver: Send + Sync {
    /// Every address of `host`; the error is in words.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>>;
}

/// Reads an endpoint's certificates (PEM) the way deliveries do: a client's chain with its private key, and
/// authorities. The error is in words and never shows the key.
pub type CertificateCheck = fn(identity: Option<&[u8]>, authorities: Option<&[u8]>) -> Result<(), String>;

/// Asks an endpoint something, by the road that deliveries take: only where they may go.
pub trait Handshakes: Send + Sync {
    /// Sends the question; the error is in words.
    fn send(&self, question: Question) -> BoxFuture<'_, Result<Reply, String>>;
}

/// What an endpoint is asked.
pub struct Question {
    /// Whose endpoint it is.
    pub tenant: TenantId,
    /// Where to.
    pub url: Url,
    /// A client's certificate chain and its private key (PEM), if the endpoint has one.
    pub client_identity: Option<Zeroizing<Vec<u8>>>,
    /// Certificate authorities (PEM), if the endpoint has its own.
    pub ca: Option<String>,
    /// JSON that is posted; an `OPTIONS` request without a body if there is none.
    pub json: Option<Bytes>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// From the start of the request to the end of the answer.
    pub deadline: Duration,
}

/// What an endpoint replies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case; a value that is no text is left out.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: String,
}

/// An event that came over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventToPublish {
    /// Its id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// Whom it is about.
    pub tenant: TenantId,
    /// Its subject, if any: the record's key.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// Its payload, JSON.
    pub data: Bytes,
}

/// Where a published event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// Why an event was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Kafka will never take it.
    #[error("the event is too large for Kafka: {0}")]
    TooLarge(String),
    /// Kafka can't take it now.
    #[error("Kafka can't take the event: {0}")]
    Unavailable(String),
}

/// Writes published events; answers once they are acknowledged.
pub trait Publisher: Send + Sync {
    /// Writes `event`.
    fn publish(&self, event: EventToPublish) -> BoxFuture<'_, Result<Published, PublishError>>;
}

/// Why there are no events at some place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEvents {
    /// No source reads there, or nothing stands there (any more).
    #[error("no event stands there")]
    Gone,
    /// What stands there is no event, for this reason.
    #[error("{0}")]
    Rejected(String),
    /// It can't be told for now.
    #[error("{0}")]
    Unavailable(String),
}

/// Reads events of sources again, as the matcher would.
pub trait EventReader: Send + Sync {
    /// The events of the record that stands there, whosesoever they are.
    fn events_at<'a>(&'a self, at: &'a SourceCoordinates) -> BoxFuture<'a, Result<Vec<Event>, NoEvents>>;
}

/// A delivery as its record has it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDelivery {
    /// The record's value, forwarded byte for byte.
    pub value: Bytes,
    /// What the value says.
    pub delivery: Delivery,
    /// What the headers say.
    pub routing: Routing,
}

/// Deliveries where they stand in Kafka. Errors are in words: it does not answer.
pub trait DeliveryStore: Send + Sync {
    /// The delivery whose record stands there; none if none does (any more).
    fn read<'a>(&'a self, at: &'a SourceCoordinates) -> BoxFuture<'a, Result<Option<StoredDelivery>, String>>;

    /// Hands a delivery to its endpoint's dispatcher, by its routing; answers once that is acknowledged.
    fn send<'a>(&'a self, stored: &'a StoredDelivery) -> BoxFuture<'a, Result<(), String>>;

    /// Orders something about a delivery; answers once that is acknowledged.
    fn order<'a>(&'a self, order: &'a Override) -> BoxFuture<'a, Result<(), String>>;

    /// How many deliveries, of all tenants, no dispatcher has looked at yet.
    fn queued(&self) -> BoxFuture<'_, Result<i64, String>>;
}
