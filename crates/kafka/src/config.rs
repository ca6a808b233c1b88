//! How to reach Kafka, and the client settings that each use needs.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
};

use crate::client_log::LogContext;

/// The largest record of an internal topic, bytes; also checked on the topics at start.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The most that a producer puts into one batch unless a single record is larger: less cannot be fetched, so this much
/// may be fetched again whenever a reader begins in the middle.
const BATCH_BYTES: usize = 64 * 1024;

/// How often a member of a group looks for new partitions and topics, unless the operator says otherwise.
const TOPIC_REFRESH: Duration = Duration::from_secs(30);
const TOPIC_REFRESH_PROPERTY: &str = "topic.metadata.refresh.interval.ms";

/// How often a consumer tells how much it has received.
const STATISTICS_INTERVAL_MS: u32 = 15_000;

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Any librdkafka property; overrides what Postrider sets.
    pub properties: BTreeMap<String, String>,
    /// Shown in the brokers' logs and quotas.
    pub client_id: String,
    /// Static group membership, if set; dynamic otherwise.
    pub instance_id: Option<String>,
    /// Whether the broker is the in-process one of `postrider dev`.
    pub embedded: bool,
}

/// How much a consumer fetches ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchSize {
    /// For throughput. Less than what a stage's queue holds: a pause throws away what was fetched and not handed over.
    Large,
    /// For throughput, where nobody waits for a record: the brokers answer when there is something worth it.
    Batches,
    /// For a reader that takes little at a time.
    Small,
    /// For a stage that mostly waits with its partitions paused: a pause throws away what was fetched ahead.
    Least,
}

/// Which records of transactions a reader is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Those of committed transactions, up to the first that is open.
    Committed,
    /// All.
    Uncommitted,
}

/// Kafka can't be reached.
#[derive(Debug, thiserror::Error)]
#[error("can't reach Kafka at '{servers}' (kafka.bootstrap_servers): {reason}")]
pub struct ConnectError {
    servers: String,
    reason: String,
}

impl KafkaConfig {
    /// How to reach the in-process broker of `postrider dev`, which listens at `bootstrap_servers`.
    pub fn embedded(bootstrap_servers: &str, client_id: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            properties: BTreeMap::new(),
            client_id: client_id.to_owned(),
            instance_id: None,
            embedded: true,
        }
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("socket.keepalive.enable", "true")
            // A broker that comes back is found again within a second, not ten.
            .set("reconnect.backoff.max.ms", "1000")
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    fn with_properties(&self, mut config: ClientConfig) -> ClientConfig {
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }

    pub(crate) fn admin(&self) -> ClientConfig {
        self.with_properties(self.base())
    }

    pub(crate) fn producer(&self, linger: Duration) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Transient errors are retried for as long as they last; what waits is bounded by the sender.
            .set("message.timeout.ms", "0")
            .set("linger.ms", linger.as_millis().to_string())
            .set("batch.size", BATCH_BYTES.to_string())
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string());
        self.with_properties(config)
    }

    pub(crate) fn transactional_producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.producer(Duration::ZERO);
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", "10000")
            .set("message.timeout.ms", "10000");
        config
    }

    fn reader(&self, fetch: FetchSize) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.queue.backoff.ms", "5")
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string());
        match fetch {
            FetchSize::Large | FetchSize::Batches => {
                config
                    .set("queued.min.messages", "200")
                    .set("queued.max.messages.kbytes", "128")
                    .set("fetch.message.max.bytes", "65536");
            }
            FetchSize::Small => {
                config
                    .set("queued.min.messages", "100")
                    .set("queued.max.messages.kbytes", "256")
                    .set("fetch.message.max.bytes", "262144");
            }
            FetchSize::Least => {
                config
                    .set("queued.min.messages", "100")
                    .set("queued.max.messages.kbytes", "64")
                    .set("fetch.message.max.bytes", BATCH_BYTES.to_string());
            }
        }
        if fetch == FetchSize::Batches {
            config.set("fetch.min.bytes", "65536").set("fetch.wait.max.ms", "100");
        }
        if self.embedded {
            // A produce does not wake a long poll of the in-process broker.
            config.set("fetch.wait.max.ms", "10");
        }
        config
    }

    /// How often new partitions and topics are looked for.
    pub(crate) fn topic_refresh(&self) -> Duration {
        let configured = self.properties.get(TOPIC_REFRESH_PROPERTY).and_then(|millis| millis.parse().ok());
        configured.filter(|millis| *millis > 0).map_or(TOPIC_REFRESH, Duration::from_millis)
    }

    pub(crate) fn group_consumer(&self, group: &str, fetch: FetchSize) -> ClientConfig {
        let mut config = self.reader(fetch);
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            .set(TOPIC_REFRESH_PROPERTY, TOPIC_REFRESH.as_millis().to_string())
            .set("statistics.interval.ms", STATISTICS_INTERVAL_MS.to_string());
        if let Some(instance) = &self.instance_id {
            config.set("group.instance.id", instance);
        }
        self.with_properties(config)
    }

    pub(crate) fn table_reader(&self) -> ClientConfig {
        let mut config = self.reader(FetchSize::Large);
        config
            // Required by the client; never joined, never committed.
            .set("group.id", format!("{}.reader", self.client_id))
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true");
        self.with_properties(config)
    }

    pub(crate) fn partition_reader(&self, fetch: FetchSize, isolation: Isolation) -> ClientConfig {
        let mut config = self.reader(fetch);
        config
            // Required by the client; never joined, never committed.
            .set("group.id", format!("{}.reader", self.client_id))
            .set(
                "isolation.level",
                match isolation {
                    Isolation::Committed => "read_committed",
                    Isolation::Uncommitted => "read_uncommitted",
                },
            )
            // A partition that is taken up waits for the fetch that others are in.
            .set("fetch.wait.max.ms", if self.embedded { "10" } else { "200" })
            .set("enable.partition.eof", "true");
        self.with_properties(config)
    }

    /// Asks a broker for its metadata: whether Kafka can be reached at all. Blocks a thread of the pool.
    pub async fn check_connection(&self, patience: Duration) -> Result<(), ConnectError> {
        let (this, servers) = (self.clone(), self.bootstrap_servers.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<LogContext> =
                this.admin().create_with_context(LogContext).map_err(|error| error.to_string())?;
            consumer.fetch_metadata(None, patience).map(drop).map_err(|error| error.to_string())
        });
        let answer = asked.await.unwrap_or_else(|error| Err(error.to_string()));
        answer.map_err(|reason| ConnectError { servers, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka(properties: &[(&str, &str)]) -> KafkaConfig {
        KafkaConfig {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            client_id: "test".to_owned(),
            instance_id: None,
            embedded: false,
        }
    }

    #[test]
    fn a_producer_lingers_as_long_as_it_is_told_unless_the_operator_says_otherwise() {
        for (properties, at_once, patient) in [(&[][..], "0", "10"), (&[("linger.ms", "3")], "3", "3")] {
            let linger = |linger| kafka(properties).producer(linger).get("linger.ms").map(str::to_owned);
            assert_eq!(linger(Duration::ZERO).as_deref(), Some(at_once));
            assert_eq!(linger(Duration::from_millis(10)).as_deref(), Some(patient));
        }
    }

    #[test]
    fn new_topics_are_looked_for_as_often_as_new_partitions() {
        for (properties, expected) in [(&[][..], 30_000), (&[(TOPIC_REFRESH_PROPERTY, "1000")], 1_000)] {
            let kafka = kafka(properties);
            assert_eq!(kafka.topic_refresh(), Duration::from_millis(expected));
            let consumer = kafka.group_consumer("group", FetchSize::Large);
            assert_eq!(consumer.get(TOPIC_REFRESH_PROPERTY), Some(expected.to_string().as_str()));
        }
        assert_eq!(kafka(&[(TOPIC_REFRESH_PROPERTY, "-1")]).topic_refresh(), TOPIC_REFRESH);
    }

    #[test]
    fn only_a_reader_that_nobody_waits_for_lets_the_brokers_collect() {
        for (fetch, bytes) in [(FetchSize::Large, None), (FetchSize::Small, None), (FetchSize::Batches, Some("65536"))]
        {
            assert_eq!(kafka(&[]).group_consumer("group", fetch).get("fetch.min.bytes"), bytes);
        }
    }
}
