//! Writes events into the built-in source with a Kafka client, as a user's service would.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use postrider_kafka::{BrokerClock, Headers, KafkaConfig, Outgoing, Producer};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::stopwatch::Stopwatch;

/// Unacknowledged records while a backlog is written.
const IN_FLIGHT: usize = 5_000;

/// Writes events for the endpoints of one tenant, each endpoint's in turn.
pub struct Loader {
    stopwatch: Stopwatch,
    topic: Arc<str>,
    tenant: String,
    /// A client that writes each record at once, for latencies.
    prompt: Producer,
    /// A client that collects them, for backlogs.
    bulk: Producer,
    padding: String,
    next: AtomicUsize,
}

/// Which events to write. Each has a number of its own; endpoints take turns.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// How many.
    pub count: usize,
    /// Endpoints that share them, from 0.
    pub endpoints: usize,
}

impl Loader {
    /// Writes to `topic`; the data of each event is about `data_bytes` long.
    pub fn new(
        brokers: &str,
        topic: &str,
        tenant: &str,
        data_bytes: usize,
        stopwatch: Stopwatch,
    ) -> anyhow::Result<Self> {
        let client = |linger: &str| {
            let properties = BTreeMap::from([("linger.ms".to_owned(), linger.to_owned())]);
            let kafka = KafkaConfig {
                bootstrap_servers: brokers.to_owned(),
                properties,
                client_id: "bench".to_owned(),
                instance_id: None,
                embedded: false,
            };
            let producer = Producer::new(&kafka, BrokerClock::new(true));
            producer.map_err(|reason| anyhow!("make a Kafka producer: {reason}"))
        };
        Ok(Self {
            stopwatch,
            topic: topic.into(),
            tenant: tenant.to_owned(),
            prompt: client("0")?,
            bulk: client("20")?,
            padding: "x".repeat(data_bytes),
            next: AtomicUsize::new(0),
        })
    }

    /// The event type that only endpoint `endpoint` is subscribed to.
    pub fn event_type(endpoint: usize) -> String {
        format!("order.{endpoint}")
    }

    /// The data of an event that is written now.
    pub fn data(&self, number: usize) -> String {
        format!(r#"{{"n":{number},"at":{},"padding":"{}"}}"#, self.stopwatch.micros(), self.padding)
    }

    /// Writes a batch as fast as the brokers take it.
    pub async fn write_backlog(&self, batch: Batch) -> anyhow::Result<()> {
        let records = (0..batch.count).map(|turn| self.record(turn % batch.endpoints));
        let sends = stream::iter(records).map(async |record| self.bulk.send(&record).await);
        sends.buffer_unordered(IN_FLIGHT).try_for_each(async |_| Ok(())).await.context("write an event")
    }

    /// Writes a batch at a steady pace, so many a second, and waits for the acknowledgements.
    pub async fn write_at(&self, batch: Batch, per_second: u32) -> anyhow::Result<()> {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut sends = JoinSet::new();
        for turn in 0..batch.count {
            pace.tick().await;
            let (record, producer) = (self.record(turn % batch.endpoints), self.prompt.clone());
            sends.spawn(async move { producer.send(&record).await });
            while let Some(sent) = sends.try_join_next() {
                sent.context("a send panicked")?.context("write an event")?;
            }
        }
        while let Some(sent) = sends.join_next().await {
            sent.context("a send panicked")?.context("write an event")?;
        }
        Ok(())
    }

    /// Writes one event for an endpoint.
    pub async fn write_one(&self, endpoint: usize) -> anyhow::Result<()> {
        self.prompt.send(&self.record(endpoint)).await.context("write an event")?;
        Ok(())
    }

    fn record(&self, endpoint: usize) -> Outgoing {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let event_type = Self::event_type(endpoint);
        let data = self.data(number);
        let mut value = String::with_capacity(data.len() + 128);
        write!(value, r#"{{"id":"{number}","type":"{event_type}","tenant":"{}","data":{data}}}"#, self.tenant)
            .expect("a String takes any text");
        Outgoing {
            topic: Arc::clone(&self.topic),
            partition: None,
            key: Bytes::from(number.to_string()),
            value: Some(Bytes::from(value)),
            headers: Headers::new(),
        }
    }
}
