//! What can be configured: one struct a section, one field a key.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use postrider_control::{projector::LogPolicy, upkeep::Retention};
use postrider_domain::egress::IpNet;
use serde::Deserialize;

use super::{
    sources::{SchemaRegistrySection, SourceSection},
    values::{ByteSize, DnsServer, Properties, ProxyAddress, Secret, durations},
};

/// The whole configuration. Every key has a default but those whose docs say otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names this process for static group membership: it keeps its partitions over a quick restart. Must
    /// differ between processes. Unset: membership is dynamic.
    pub instance_id: Option<String>,
    /// How to reach Kafka.
    pub kafka: KafkaSection,
    /// What Postrider's own topics are like.
    pub topics: TopicsSection,
    /// How to reach Postgres.
    pub postgres: PostgresSection,
    /// Keys that secrets are sealed with.
    pub security: SecuritySection,
    /// The HTTP API.
    pub api: ApiSection,
    /// Tokens of another issuer.
    pub jwt: JwtSection,
    /// Where deliveries may go.
    pub egress: EgressSection,
    /// Retry tiers.
    pub retry: RetrySection,
    /// Bounds of the dispatcher.
    pub dispatcher: DispatcherSection,
    /// Topics that events are read from, besides `<prefix>.events`, which always is one.
    pub sources: Vec<SourceSection>,
    /// What is stored of deliveries.
    pub projector: ProjectorSection,
    /// How long what is kept.
    pub retention: RetentionSection,
    /// Schemas of Avro records in sources.
    pub schema_registry: SchemaRegistrySection,
    /// How the process ends.
    pub shutdown: ShutdownSection,
    /// Logs.
    pub log: LogSection,
}

/// `[kafka]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSection {
    /// Brokers to begin with, `host:port`, separated by commas. Needed by every role.
    pub bootstrap_servers: String,
    /// What the names of Postrider's own topics and consumer groups start with.
    pub topic_prefix: String,
    /// The name that this client gives to the brokers.
    pub client_id: String,
    /// Any librdkafka property, such as `"security.protocol" = "SASL_SSL"`.
    pub properties: Properties,
    /// librdkafka properties whose values are in files, such as `"sasl.password" = "/run/secrets/kafka"`.
    pub properties_files: std::collections::BTreeMap<String, PathBuf>,
}

/// `[topics]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsSection {
    /// Partitions of each of Postrider's own topics, when they are created.
    pub partitions: NonZeroU32,
    /// Copies of each partition, when topics are created. Use 3 in production.
    pub replication_factor: NonZeroU32,
    /// Copies that must have a record before it is acknowledged. Unset: one less than
    /// `replication_factor`, at least 1.
    pub min_insync_replicas: Option<NonZeroU32>,
    /// Create missing topics at start. Otherwise a missing topic stops the start.
    pub create: bool,
}

/// `[postgres]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSection {
    /// `postgres://user:password@host:port/database`. Needed by the roles api, relay and projector.
    pub url: Option<Secret>,
    /// A file that holds `url`.
    pub url_file: Option<PathBuf>,
    /// The same with the user that owns the schema, for `postrider migrate`. Unset: `url`.
    pub owner_url: Option<Secret>,
    /// A file that holds `owner_url`.
    pub owner_url_file: Option<PathBuf>,
    /// Connections at most.
    pub max_connections: NonZeroU32,
}

/// `[security]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecuritySection {
    /// The key ring: `id:base64 of 32 bytes`, several separated by commas, the current one first. Needed by
    /// the roles api and dispatcher. `postrider keys generate-master` makes one.
    pub master_keys: Option<Secret>,
    /// A file that holds `master_keys`, one key a line.
    pub master_keys_file: Option<PathBuf>,
}

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSection {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// How clients reach the API, for the OpenAPI document. Unset: relative. Its host is the origin that endpoints are asked
    /// to allow when they are verified.
    pub public_url: Option<String>,
    /// The origins of web pages that may call the API, such as `["https://app.example.com"]`; `["*"]` for all.
    pub cors_origins: Vec<String>,
    /// The largest request body.
    pub max_body_bytes: ByteSize,
    /// How long a request may take.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long publishing an event may wait for Kafka before it answers 503.
    #[serde(with = "humantime_serde")]
    pub publish_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// This process's share of each API key's rate limit.
    pub rate_limit_share: f64,
    /// After so many keys that don't work an address is locked out; 0: never.
    pub lockout_bad_keys: u32,
    /// Within so long.
    #[serde(with = "humantime_serde")]
    pub lockout_within: Duration,
    /// For so long.
    #[serde(with = "humantime_serde")]
    pub lockout_time: Duration,
}

/// `[jwt]`: tokens of another issuer, taken beside API keys if there is an issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtSection {
    /// What tokens must have as `iss`.
    pub issuer: Option<String>,
    /// What they must have in `aud`.
    pub audience: Option<String>,
    /// Where the issuer's keys are (JWKS).
    pub jwks_url: Option<String>,
    /// The claim with the tenant's id; `*` in it is an operator.
    pub tenant_claim: String,
    /// The claim with the scopes.
    pub scope_claim: String,
}

impl Default for JwtSection {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_url: None,
            tenant_claim: "postrider_tenant".to_owned(),
            scope_claim: "scope".to_owned(),
        }
    }
}

/// `[egress]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSection {
    /// Allow endpoints with `http://`.
    pub allow_http: bool,
    /// Private networks that deliveries may go to, such as `["10.20.0.0/16"]`.
    pub allowed_networks: Vec<IpNet>,
    /// A file of PEM certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// DNS servers to ask instead of the system's.
    pub dns_servers: Vec<DnsServer>,
    /// A proxy that deliveries go through by CONNECT: `http://host:port`, or `http://user:password@host:port`.
    pub proxy: Option<ProxyAddress>,
}

/// `[retry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySection {
    /// The constant delays that retries are made of, each with a topic of its own.
    #[serde(deserialize_with = "durations")]
    pub tiers: Vec<Duration>,
}

/// `[dispatcher]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DispatcherSection {
    /// Deliveries of one priority that may wait in the lane of one endpoint; past it its partition waits, for `park_after` at most.
    pub max_queued_per_lane: NonZeroU32,
    /// Requests to one endpoint at the same time, at most: 1 to 64. It adapts to how the endpoint keeps up.
    pub lane_concurrency: NonZeroU32,
    /// While what waits longest in a lane has waited for more than this, whatever comes is parked in a retry tier.
    #[serde(with = "humantime_serde")]
    pub park_after: Duration,
    /// What has its turn later than this is held instead of parked.
    #[serde(with = "humantime_serde")]
    pub hold_after: Duration,
    /// While so many deliveries of one endpoint are parked, more of it are held.
    pub max_parked_per_endpoint: NonZeroU32,
    /// A delivery of an ordered endpoint that is retried later than this keeps its key waiting in the held topic, not in
    /// memory.
    #[serde(with = "humantime_serde")]
    pub ordered_wait: Duration,
    /// Give nothing up while nothing can leave this process.
    pub egress_gate: bool,
    /// For how long at most.
    #[serde(with = "humantime_serde")]
    pub egress_grace: Duration,
    /// Memory for deliveries that wait in lanes, over all endpoints.
    pub max_waiting_bytes: ByteSize,
}

/// `[projector]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectorSection {
    /// Which deliveries are stored one by one: `all`; `failures`, those that were not delivered at the first attempt; or
    /// `sampled`, those and one in `sample_one_in` of the others. Counts are exact in any case.
    pub log: DeliveryLog,
    /// Of how many deliveries that were delivered at once one is stored, with `log = "sampled"`.
    pub sample_one_in: NonZeroU32,
}

/// Which deliveries are stored one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryLog {
    /// Every one.
    #[default]
    All,
    /// Those that were not delivered at the first attempt.
    Failures,
    /// Those, and some of the others.
    Sampled,
}

/// `[retention]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSection {
    /// Deliveries with their attempts.
    #[serde(with = "humantime_serde")]
    pub deliveries: Duration,
    /// Test sends.
    #[serde(with = "humantime_serde")]
    pub tests: Duration,
    /// The audit log, by whole months.
    #[serde(with = "humantime_serde")]
    pub audit: Duration,
    /// Counts by minute, for analytics.
    #[serde(with = "humantime_serde")]
    pub minutes: Duration,
    /// Counts by hour.
    #[serde(with = "humantime_serde")]
    pub hours: Duration,
    /// Counts by day.
    #[serde(with = "humantime_serde")]
    pub days: Duration,
}

/// `[shutdown]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownSection {
    /// How long work that was taken may go on after SIGTERM or SIGINT.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `text`, `json`, or `auto`: text on a terminal, JSON otherwise.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a list per module (`info,postrider_pipeline=debug`).
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Lines to read.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for KafkaSection {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            topic_prefix: "postrider".to_owned(),
            client_id: "postrider".to_owned(),
            properties: Properties::default(),
            properties_files: std::collections::BTreeMap::new(),
        }
    }
}

/// A constant that is not zero.
const fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a default count is not zero")
}

impl Default for TopicsSection {
    fn default() -> Self {
        Self { partitions: count(6), replication_factor: count(1), min_insync_replicas: None, create: true }
    }
}

impl Default for PostgresSection {
    fn default() -> Self {
        Self { url: None, url_file: None, owner_url: None, owner_url_file: None, max_connections: count(16) }
    }
}

impl Default for ApiSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            cors_origins: Vec::new(),
            max_body_bytes: ByteSize::mebibytes(2),
            request_timeout: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(10),
            trusted_proxies: Vec::new(),
            rate_limit_share: 1.0,
            lockout_bad_keys: 20,
            lockout_within: Duration::from_mins(5),
            lockout_time: Duration::from_mins(15),
        }
    }
}

impl Default for RetrySection {
    fn default() -> Self {
        Self { tiers: [1, 5, 30, 300, 1_800, 7_200, 36_000].map(Duration::from_secs).to_vec() }
    }
}

impl Default for DispatcherSection {
    fn default() -> Self {
        Self {
            max_queued_per_lane: count(1_024),
            lane_concurrency: count(64),
            park_after: Duration::from_secs(2),
            hold_after: Duration::from_mins(5),
            max_parked_per_endpoint: count(10_000),
            ordered_wait: Duration::from_mins(1),
            egress_gate: true,
            egress_grace: Duration::from_hours(24),
            max_waiting_bytes: ByteSize::mebibytes(64),
        }
    }
}

impl Default for ProjectorSection {
    fn default() -> Self {
        Self { log: DeliveryLog::All, sample_one_in: count(100) }
    }
}

impl Default for RetentionSection {
    fn default() -> Self {
        let Retention { deliveries, tests, audit, minutes, hours, days } = Retention::default();
        Self { deliveries, tests, audit, minutes, hours, days }
    }
}

impl RetentionSection {
    /// As the control plane takes it.
    pub fn to_retention(&self) -> Retention {
        let Self { deliveries, tests, audit, minutes, hours, days } = *self;
        Retention { deliveries, tests, audit, minutes, hours, days }
    }
}

impl ProjectorSection {
    /// As the control plane takes it.
    pub fn to_policy(&self) -> LogPolicy {
        match self.log {
            DeliveryLog::All => LogPolicy::All,
            DeliveryLog::Failures => LogPolicy::Failures,
            DeliveryLog::Sampled => LogPolicy::Sampled(self.sample_one_in),
        }
    }
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self { drain: Duration::from_secs(10) }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}
