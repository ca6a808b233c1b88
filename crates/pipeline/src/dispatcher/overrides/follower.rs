//! Reads `postrider.overrides` into the table, and deletes from the topic what nobody needs any more.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use postrider_domain::{
    MessageId, Run,
    overrides::{Override, override_key},
};
use postrider_kafka::{
    Codec, DecodeError, Headers, KafkaConfig, Layout, Outgoing, ProduceError, ReadinessHandle, Record, RejectReason,
    Shutdown, Sink, TableEvent, TableReader, Topics, reject,
};
use tokio::time::Instant;

use super::Overrides;
use crate::stage::StageError;

/// How often what has expired is deleted.
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);

/// Reads and follows the topic into `overrides` until the soft shutdown. Error: it can't be read, or not be written, any
/// more.
pub(in crate::dispatcher) async fn follow<S: Sink>(
    overrides: Overrides,
    kafka: &KafkaConfig,
    topics: &Topics,
    layout: &Layout,
    sink: S,
    readiness: ReadinessHandle,
    shutdown: &Shutdown,
) -> Result<(), StageError> {
    let mut reader = TableReader::start(kafka, &topics.overrides()).map_err(StageError::Start)?;
    let mut follower = Follower::new(overrides, topics, layout, sink, readiness);
    let following = async {
        let mut sweep_at = Instant::now() + SWEEP_INTERVAL;
        loop {
            tokio::select! {
                event = reader.next() => match event {
                    Some(event) => follower.take(event).await?,
                    None => return Err(StageError::Start("the reader of the overrides' topic ended".to_owned())),
                },
                () = tokio::time::sleep_until(sweep_at) => {
                    follower.sweep().await?;
                    sweep_at = Instant::now() + SWEEP_INTERVAL;
                }
            }
        }
    };
    shutdown.soft.run_until_cancelled(following).await.unwrap_or(Ok(()))
}

/// Feeds an [`Overrides`], and says whether it was read.
pub(super) struct Follower<S> {
    overrides: Overrides,
    codec: Codec,
    sink: S,
    topic: Arc<str>,
    rejected: Arc<str>,
    readiness: ReadinessHandle,
}

impl<S: Sink> Follower<S> {
    pub(super) fn new(
        overrides: Overrides,
        topics: &Topics,
        layout: &Layout,
        sink: S,
        readiness: ReadinessHandle,
    ) -> Self {
        readiness.unready("the overrides are being read");
        Self {
            overrides,
            codec: layout.codec().clone(),
            sink,
            topic: topics.overrides().into(),
            rejected: topics.rejected().into(),
            readiness,
        }
    }

    pub(super) async fn take(&mut self, event: TableEvent) -> Result<(), ProduceError> {
        match event {
            TableEvent::Record(record) => self.read(&record).await,
            TableEvent::EndOfPartition => {
                self.overrides.completed();
                self.readiness.ready();
                self.measure();
                self.restore_deleted().await
            }
            // An order that was given stays in force, whatever became of its record.
            TableEvent::Shrunk => Ok(()),
        }
    }

    /// Deletes what has expired. Every process does: a second tombstone changes nothing.
    pub(super) async fn sweep(&self) -> Result<(), ProduceError> {
        for (message_id, run) in self.overrides.forget_expired(self.sink.clock().now()) {
            self.sink.send(self.record(&message_id, &run, None)).await?;
        }
        self.measure();
        Ok(())
    }

    async fn read(&self, record: &Record) -> Result<(), ProduceError> {
        let Some(value) = &record.value else {
            if let Some((message_id, run)) = record.key_str().and_then(parse_key) {
                self.overrides.delete(&message_id, &run, self.sink.clock().now());
            }
            return Ok(());
        };
        loop {
            match self.codec.decode::<Override>(value) {
                Ok(order) => {
                    self.overrides.put(order);
                    return Ok(());
                }
                Err(DecodeError::UnknownSchema(fingerprint)) => {
                    let why = format!("the overrides wait for schema {fingerprint} to be published");
                    tracing::warn!("{why}");
                    self.readiness.unready(why);
                    self.codec.learned(fingerprint).await;
                }
                // What was known of its key stays in force.
                Err(DecodeError::Corrupt(message)) => {
                    return reject(&self.sink, &self.rejected, record, RejectReason::Corrupt, &message).await;
                }
            }
        }
    }

    /// Writes orders again that were given while somebody deleted what they replaced.
    async fn restore_deleted(&self) -> Result<(), ProduceError> {
        for order in self.overrides.take_deleted() {
            let value = self.codec.encode(&order);
            self.sink.send(self.record(&order.message_id, &order.run, Some(value))).await?;
        }
        Ok(())
    }

    fn record(&self, message_id: &MessageId, run: &Run, value: Option<Bytes>) -> Outgoing {
        Outgoing {
            topic: self.topic.clone(),
            partition: Some(0),
            key: Bytes::from(override_key(message_id, run)),
            value,
            headers: Headers::new(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody has 2^52 orders")]
    fn measure(&self) {
        metrics::gauge!("postrider_overrides").set(self.overrides.len() as f64);
        metrics::gauge!("postrider_overrides_bytes").set(self.overrides.bytes() as f64);
    }
}

/// What [`override_key`] made.
fn parse_key(key: &str) -> Option<(MessageId, Run)> {
    let (message_id, run) = key.split_once('/')?;
    Some((MessageId::from_trusted(message_id), run.parse().ok()?))
}
