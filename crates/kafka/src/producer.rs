//! The idempotent producer: bounded, and every send answers when the brokers have it.

use std::{sync::Arc, time::Duration};

use postrider_domain::Timestamp;
use rdkafka::{
    Timestamp as KafkaTimestamp,
    error::{KafkaError, RDKafkaErrorCode},
    producer::Producer as _,
};
use tokio::{sync::Semaphore, task::coop::unconstrained, time::Instant};

use crate::{
    BrokerClock, KafkaConfig, Outgoing,
    reported::{Delivered, ReportedProducer},
};

/// Records that may be sent and not yet acknowledged, per producer; further sends wait.
const MAX_UNACKNOWLEDGED_RECORDS: usize = 10_000;
/// How long a record of a patient producer waits for others at most. What it tells of is settled that much later, so
/// it is also what a kill repeats.
const PATIENT_LINGER: Duration = Duration::from_millis(10);
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// Writes records with `acks=all`. Clones share one client.
#[derive(Clone)]
pub struct Producer {
    client: ReportedProducer,
    clock: BrokerClock,
    unacknowledged: Arc<Semaphore>,
}

/// The brokers have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Where.
    pub partition: i32,
    /// Where.
    pub offset: i64,
    /// When it was appended, on a LogAppendTime topic.
    pub timestamp: Timestamp,
}

/// Why a record will never be written. Transient errors are retried and never seen here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// It is larger than the topic or the client allows.
    #[error("a record for {topic} is too large: {reason}")]
    TooLarge {
        /// The topic.
        topic: String,
        /// The client's words.
        reason: String,
    },
    /// The producer can't go on: the process must end.
    #[error("the producer failed for good while writing to {topic}: {reason}")]
    Fatal {
        /// The topic.
        topic: String,
        /// The client's words.
        reason: String,
    },
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer that sends at once, whose acknowledgements teach `clock` the brokers' time. Error: a property is
    /// not one.
    pub fn new(kafka: &KafkaConfig, clock: BrokerClock) -> Result<Self, String> {
        Self::lingering(kafka, clock, Duration::ZERO)
    }

    /// A producer for what nobody waits for: its records wait for others to share a request with, which spares the
    /// brokers most of their work.
    pub fn patient(kafka: &KafkaConfig, clock: BrokerClock) -> Result<Self, String> {
        Self::lingering(kafka, clock, PATIENT_LINGER)
    }

    fn lingering(kafka: &KafkaConfig, clock: BrokerClock, linger: Duration) -> Result<Self, String> {
        let client = ReportedProducer::new(&kafka.producer(linger))?;
        Ok(Self { client, clock, unacknowledged: Arc::new(Semaphore::new(MAX_UNACKNOWLEDGED_RECORDS)) })
    }

    /// Writes a record and waits for its acknowledgement, however long the brokers are away. Records that are polled
    /// first one after another are written in that order.
    pub async fn send(&self, record: &Outgoing) -> Result<Ack, ProduceError> {
        // Not to yield where there is a permit: a later record would overtake this one.
        let _permit = unconstrained(self.unacknowledged.acquire()).await.expect("the semaphore is never closed");
        loop {
            let sent = Instant::now();
            let error = match self.client.send(record) {
                Ok(report) => match report.await {
                    Ok(Ok(delivered)) => return Ok(self.acknowledged(sent, delivered)),
                    Ok(Err(error)) => error,
                    Err(_) => KafkaError::Canceled,
                },
                Err(error) => error,
            };
            let pause = match classify(&error) {
                Verdict::QueueFull => QUEUE_FULL_PAUSE,
                Verdict::Transient => {
                    tracing::warn!(topic = &*record.topic, %error, "a produce failed and is tried again");
                    metrics::counter!("postrider_produce_retries_total").increment(1);
                    RETRY_PAUSE
                }
                Verdict::TooLarge => {
                    return Err(ProduceError::TooLarge { topic: record.topic.to_string(), reason: error.to_string() });
                }
                Verdict::Fatal => {
                    return Err(ProduceError::Fatal { topic: record.topic.to_string(), reason: error.to_string() });
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn acknowledged(&self, sent: Instant, delivered: Delivered) -> Ack {
        let timestamp = match delivered.timestamp {
            KafkaTimestamp::LogAppendTime(millis) => {
                let appended = Timestamp::from_millis(millis);
                self.clock.learn(sent, Instant::now(), appended);
                appended
            }
            KafkaTimestamp::CreateTime(millis) => Timestamp::from_millis(millis),
            KafkaTimestamp::NotAvailable => self.clock.now(),
        };
        Ack { partition: delivered.partition, offset: delivered.offset, timestamp }
    }

    /// Broker time, as this producer's acknowledgements taught it.
    pub fn clock(&self) -> &BrokerClock {
        &self.clock
    }

    /// Waits for what is in flight, at most `patience`.
    pub async fn flush(&self, patience: Duration) {
        let client = self.client.clone();
        let flushed = tokio::task::spawn_blocking(move || client.client().flush(patience)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "records were still unacknowledged when the producer was closed");
        }
    }
}

/// Where a stage writes: a [`Producer`], or a fake in the stage's tests.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Writes a record and waits until the brokers have it.
    fn send(&self, record: Outgoing) -> impl Future<Output = Result<Ack, ProduceError>> + Send;

    /// Broker time, as the acknowledgements taught it.
    fn clock(&self) -> BrokerClock;
}

impl Sink for Producer {
    async fn send(&self, record: Outgoing) -> Result<Ack, ProduceError> {
        Self::send(self, &record).await
    }

    fn clock(&self) -> BrokerClock {
        self.clock.clone()
    }
}

enum Verdict {
    QueueFull,
    Transient,
    TooLarge,
    Fatal,
}

fn classify(error: &KafkaError) -> Verdict {
    match error {
        KafkaError::Canceled => Verdict::Fatal,
        other => match other.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Verdict::QueueFull,
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord,
            ) => Verdict::TooLarge,
            Some(
                RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::InvalidArgument,
            ) => Verdict::Fatal,
            _ => Verdict::Transient,
        },
    }
}
