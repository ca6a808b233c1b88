//! Writes the sample events with a Kafka client of its own, over TCP, as any producer would.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use parking_lot::Mutex;
use postrider_domain::Timestamp;
use postrider_kafka::{BrokerClock, Headers, KafkaConfig, Outgoing, Producer};
use tokio::task::JoinSet;

use super::dev::DevInfo;
use super::scenario::SampleEvent;

/// Events a second, so that there is something to watch.
const EVENTS_PER_SECOND: u32 = 200;

/// When each event was handed to the client, by its number.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<Mutex<HashMap<u32, Timestamp>>>);

impl Written {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// When an event was written.
    pub fn at(&self, number: u32) -> Option<Timestamp> {
        self.0.lock().get(&number).copied()
    }
}

/// A Kafka client that writes sample events.
pub struct Publisher {
    producer: Producer,
    clock: BrokerClock,
    topic: Arc<str>,
    tenant: String,
}

impl Publisher {
    /// Connects to the broker of `dev`.
    pub fn new(dev: &DevInfo) -> anyhow::Result<Self> {
        let kafka = KafkaConfig::embedded(&dev.kafka, "demo");
        let clock = BrokerClock::new(true);
        let producer = Producer::new(&kafka, clock.clone());
        let producer = producer.map_err(|reason| anyhow!("make a Kafka producer: {reason}"))?;
        Ok(Self { producer, clock, topic: dev.topic.as_str().into(), tenant: dev.tenant.clone() })
    }

    /// Writes `events`, and notes in `written` when.
    pub async fn publish(&self, events: &[SampleEvent], written: &Written) -> anyhow::Result<()> {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
        let mut sends = JoinSet::new();
        for event in events.iter().copied() {
            pace.tick().await;
            let now = self.clock.now();
            let record = Outgoing {
                topic: Arc::clone(&self.topic),
                partition: None,
                key: Bytes::from(event.customer()),
                value: Some(Bytes::from(event.to_json(&self.tenant, now).to_string())),
                headers: Headers::new(),
            };
            let (producer, written) = (self.producer.clone(), written.clone());
            sends.spawn(async move {
                // Noted first: the delivery may be faster than the acknowledgement.
                written.0.lock().insert(event.number, now);
                producer.send(&record).await.with_context(|| format!("write event {}", event.id()))
            });
        }
        while let Some(sent) = sends.join_next().await {
            sent.context("a send panicked")??;
        }
        Ok(())
    }
}
