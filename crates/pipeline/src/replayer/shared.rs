//! What all jobs of a process work with.

use std::sync::Arc;

use postrider_domain::{
    Attempt, Delivery, Priority, Routing, Timestamp,
    envelope::MAX_BODY_BYTES,
    replay::{DeadLetterMark, ReplayProgress},
};
use postrider_kafka::{Layout, ProduceError, Record, RejectReason, Sink, Topics, reject};
use tokio::sync::Semaphore;

use crate::{
    burial::Burial,
    directory::Directory,
    matcher::{Composed, Decoder, Schemas, SourceConfig},
    outgoing,
};

/// Jobs of a process that work at a time; the others wait for their turn.
const MAX_JOBS_AT_WORK: usize = 8;

#[derive(Debug)]
pub(super) struct Shared<S, L> {
    pub topics: Topics,
    pub layout: Layout,
    pub directory: Directory,
    /// The sources of events, as configured.
    pub sources: Vec<SourceConfig>,
    /// What turns Avro into JSON, if that is configured.
    pub schemas: Option<Arc<dyn Schemas>>,
    pub logs: L,
    pub sink: S,
    /// Turns at work.
    pub turns: Arc<Semaphore>,
    burial: Burial<S>,
    deliveries: Arc<str>,
    dlq: Arc<str>,
    progress: Arc<str>,
}

impl<S: Sink, L> Shared<S, L> {
    pub(super) fn new(
        topics: Topics,
        layout: Layout,
        directory: Directory,
        (sources, schemas): (Vec<SourceConfig>, Option<Arc<dyn Schemas>>),
        logs: L,
        sink: S,
    ) -> Self {
        Self {
            burial: Burial::new(sink.clone(), layout.clone(), &topics),
            deliveries: topics.deliveries().into(),
            dlq: topics.dlq().into(),
            progress: topics.progress().into(),
            turns: Arc::new(Semaphore::new(MAX_JOBS_AT_WORK)),
            topics,
            layout,
            directory,
            sources,
            schemas,
            logs,
            sink,
        }
    }

    /// What tells the events of a source's records.
    pub(super) fn decoder(&self, source: &SourceConfig) -> Decoder {
        Decoder::new(Arc::new(source.clone()), self.schemas.clone(), None)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.sink.clock().now()
    }

    /// The partition of `postrider.deliveries` that a delivery goes to.
    pub(super) fn target(&self, delivery: &Delivery) -> i32 {
        self.layout.partition(&self.deliveries, delivery.endpoint.as_str())
    }

    /// Writes a delivery as if its event had just been matched: the first attempt, of age zero. (`skip_before` of an
    /// endpoint that is resumed without its backlog concerns live deliveries only, so that the time of the replay
    /// skips nothing that somebody asked for.)
    pub(super) async fn deliver(&self, composed: Composed, traceparent: Option<String>) -> Result<(), ProduceError> {
        let routing = Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: self.now(),
            version: Some(self.directory.version()),
            generation: 0,
            priority: Priority::Normal,
            traceparent,
        };
        let delivery = match composed {
            Composed::Ready(delivery) => delivery,
            Composed::Unmapped(unmapped) => return self.burial.unmapped(unmapped, &routing).await,
        };
        let bytes = delivery.body.len();
        if bytes > MAX_BODY_BYTES {
            let message = format!("the body has {bytes} bytes; at most {MAX_BODY_BYTES} are sent");
            return self.burial.too_large(delivery, &routing, message).await;
        }
        match self.sink.send(outgoing::delivery(&self.layout, &self.deliveries, &delivery, &routing)).await {
            Err(ProduceError::TooLarge { reason, .. }) => self.burial.too_large(delivery, &routing, reason).await,
            other => other.map(drop),
        }
    }

    /// Marks an entry of the dead-letter queue.
    pub(super) async fn mark(&self, mark: &DeadLetterMark) -> Result<(), ProduceError> {
        self.sink.send(outgoing::mark(&self.layout, &self.dlq, mark)).await.map(drop)
    }

    /// Writes a record that can't be understood to the rejected topic.
    pub(super) async fn reject(&self, record: &Record, reason: &str) -> Result<(), ProduceError> {
        reject(&self.sink, &self.topics.rejected(), record, RejectReason::Corrupt, reason).await
    }

    /// Writes how far a job has come.
    pub(super) async fn tell(&self, progress: &ReplayProgress) -> Result<(), ProduceError> {
        self.sink.send(outgoing::progress(&self.layout, &self.progress, progress)).await.map(drop)
    }
}
