//! What the API does with replay jobs and dead letters.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use postrider_domain::{
    JobId, Timestamp,
    replay::{DeadLetterMark, DesiredState, ReplayJob},
};
use postrider_kafka::{Headers, Layout, Outgoing, Producer};
use tokio::sync::Semaphore;

use super::{NewReplay, Replay, ReplayError, Replays, Source};
use crate::clock;

/// How many requests read from Kafka at once: each has a consumer of its own.
const MAX_READING: usize = 8;
/// Marks that are written and not acknowledged.
const MARKS_IN_FLIGHT: usize = 100;

/// The topic of a configured source, by its name and, where the source has a pattern of topics, the topic's. The error
/// is in words.
pub type SourceOf = Arc<dyn Fn(&str, Option<&str>) -> Result<Source, String> + Send + Sync>;

/// Makes, finds and directs replay jobs.
pub trait ReplayJobs: Send + Sync {
    /// Broker time.
    fn now(&self) -> Timestamp;

    /// The topic of a configured source.
    fn source(&self, name: &str, topic: Option<&str>) -> Result<Source, String>;

    /// Makes a job.
    fn create(&self, new: NewReplay) -> BoxFuture<'_, Result<ReplayJob, ReplayError>>;

    /// One job.
    fn find<'a>(&'a self, id: &'a JobId) -> BoxFuture<'a, Result<Replay, ReplayError>>;

    /// Every job that is remembered, the oldest first.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Replay>, ReplayError>>;

    /// Says what is desired of a job.
    fn desire<'a>(&'a self, id: &'a JobId, desired: DesiredState) -> BoxFuture<'a, Result<ReplayJob, ReplayError>>;

    /// Marks dead letters as dealt with; answers once all marks are acknowledged.
    fn mark(&self, marks: Vec<DeadLetterMark>) -> BoxFuture<'_, Result<(), ReplayError>>;
}

/// The jobs in Kafka.
pub struct KafkaReplayJobs {
    replays: Replays,
    layout: Layout,
    producer: Producer,
    source_of: SourceOf,
    reading: Semaphore,
}

impl fmt::Debug for KafkaReplayJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReplayJobs").field("replays", &self.replays).finish_non_exhaustive()
    }
}

impl KafkaReplayJobs {
    /// Those of one deployment, whose sources `source_of` knows.
    pub fn new(replays: Replays, layout: Layout, producer: Producer, source_of: SourceOf) -> Self {
        Self { replays, layout, producer, source_of, reading: Semaphore::new(MAX_READING) }
    }

    /// Waits until there is room for another reader.
    async fn reading(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.reading.acquire().await.expect("it is never closed")
    }

    async fn write_marks(&self, marks: Vec<DeadLetterMark>) -> Result<(), ReplayError> {
        let topic: Arc<str> = self.layout.topics().dlq().into();
        let write = |mark: DeadLetterMark| {
            // Where the entry stands: who reads one finds the other.
            let key = mark.endpoint.as_str();
            let record = Outgoing {
                topic: topic.clone(),
                partition: Some(self.layout.partition(&topic, key)),
                key: Bytes::copy_from_slice(key.as_bytes()),
                value: Some(self.layout.codec().encode(&mark)),
                headers: Headers::new(),
            };
            async move { self.producer.send(&record).await.map(drop) }
        };
        let written = stream::iter(marks).map(write).buffer_unordered(MARKS_IN_FLIGHT).try_collect::<()>().await;
        Ok(written?)
    }
}

impl ReplayJobs for KafkaReplayJobs {
    fn now(&self) -> Timestamp {
        self.replays.now()
    }

    fn source(&self, name: &str, topic: Option<&str>) -> Result<Source, String> {
        (self.source_of)(name, topic)
    }

    fn create(&self, new: NewReplay) -> BoxFuture<'_, Result<ReplayJob, ReplayError>> {
        async move {
            let _reading = self.reading().await;
            self.replays.create(new, &mut clock::rng()).await.map(|(job, _)| job)
        }
        .boxed()
    }

    fn find<'a>(&'a self, id: &'a JobId) -> BoxFuture<'a, Result<Replay, ReplayError>> {
        async move {
            let _reading = self.reading().await;
            self.replays.find(id).await
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Replay>, ReplayError>> {
        async move {
            let _reading = self.reading().await;
            self.replays.list().await
        }
        .boxed()
    }

    fn desire<'a>(&'a self, id: &'a JobId, desired: DesiredState) -> BoxFuture<'a, Result<ReplayJob, ReplayError>> {
        async move {
            let _reading = self.reading().await;
            self.replays.desire(id, desired).await.map(|(job, _)| job)
        }
        .boxed()
    }

    fn mark(&self, marks: Vec<DeadLetterMark>) -> BoxFuture<'_, Result<(), ReplayError>> {
        self.write_marks(marks).boxed()
    }
}
