//! The projector's work on one partition.

use std::{sync::Arc, time::Duration};

use postrider_domain::Timestamp;
use postrider_kafka::{DecodeError, Inbound, PartitionStream, RejectReason, SettleToken, reject};
use postrider_postgres::{Error, projector_offsets};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    ProjectorError, Shared,
    batch::{Batch, Projected, Topic},
    write::{Conflict, Place, Written, judge, write},
};
use crate::clock;

/// The most records in one transaction.
const MAX_BATCH_RECORDS: usize = 2_000;
/// A batch is closed when its records' values have reached this.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long a batch waits for more after its first record.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// Between the first two tries of what failed; doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Projects a partition until it is revoked, the process stops, or it can't go on.
pub async fn run(stream: PartitionStream, shared: Arc<Shared>) -> Result<(), ProjectorError> {
    let aborted = stream.aborted();
    let part = format!("{}/{}", stream.topic(), stream.partition());
    let projection = Projection {
        stopped: stream.stopped(),
        topic: stream.topic().to_string(),
        partition: stream.partition(),
        kind: shared.kind_of(stream.topic()),
        part: part.clone(),
        stored: None,
        term: 0,
        shared: shared.clone(),
    };
    let ended = tokio::select! {
        ended = projection.project(stream) => ended,
        () = aborted.cancelled() => Ok(()),
    };
    shared.health.fine(&part);
    ended
}

/// One partition, and how far it is in the log.
struct Projection {
    shared: Arc<Shared>,
    topic: String,
    partition: i32,
    kind: Topic,
    part: String,
    stopped: CancellationToken,
    /// The offset in the database, as it was when last read or written.
    stored: Option<i64>,
    /// The highest term of an owner of the partition that was seen in it.
    term: i64,
}

/// Records that are decoded and not yet written.
#[derive(Default)]
struct Pending {
    batch: Batch,
    tokens: Vec<SettleToken>,
    next_offset: i64,
    newest: Option<Timestamp>,
}

/// The partition is no longer ours.
struct Stopped;

impl Projection {
    async fn project(mut self, mut stream: PartitionStream) -> Result<(), ProjectorError> {
        let Ok(stored) = self.read_stored().await else { return Ok(()) };
        self.stored = stored;
        while let Some(batch) = collect(&mut stream).await {
            let mut pending = Pending::default();
            for inbound in batch {
                match self.decode(&inbound, &mut pending).await? {
                    Ok(Some(record)) => {
                        let policy = self.shared.log;
                        pending.batch.add(self.partition, inbound.record.offset, record, &mut self.term, policy);
                    }
                    Ok(None) => {}
                    Err(Stopped) => return Ok(()),
                }
                pending.next_offset = inbound.record.offset + 1;
                pending.newest = Some(inbound.record.timestamp);
                pending.tokens.push(inbound.token);
            }
            if self.flush(&mut pending).await?.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What a record says; none if it was rejected. One of a schema that is not known yet holds the partition,
    /// after what came before it is written.
    async fn decode(
        &mut self,
        inbound: &Inbound,
        pending: &mut Pending,
    ) -> Result<Result<Option<Projected>, Stopped>, ProjectorError> {
        let record = &inbound.record;
        loop {
            let why = match self.kind.decode(&self.shared.codec, record.key.as_deref(), record.value.as_deref()) {
                Ok(decoded) => return Ok(Ok(Some(decoded))),
                Err(DecodeError::UnknownSchema(fingerprint)) => {
                    if self.flush(pending).await?.is_err() {
                        return Ok(Err(Stopped));
                    }
                    let error = DecodeError::UnknownSchema(fingerprint);
                    tracing::warn!(part = self.part, offset = record.offset, %error, "the partition is held");
                    self.shared.health.trouble(&self.part, format!("{} offset {}: {error}", self.part, record.offset));
                    tokio::select! {
                        () = self.shared.codec.learned(fingerprint) => self.shared.health.fine(&self.part),
                        () = self.stopped.cancelled() => return Ok(Err(Stopped)),
                    }
                    continue;
                }
                Err(DecodeError::Corrupt(why)) => why,
            };
            let topic = &self.shared.rejected_topic;
            reject(&self.shared.producer, topic, record, RejectReason::Corrupt, &why).await?;
            return Ok(Ok(None));
        }
    }

    /// Writes what is pending, however long the database is away, then settles it.
    async fn flush(&mut self, pending: &mut Pending) -> Result<Result<(), Stopped>, ProjectorError> {
        let mut pause = FIRST_PAUSE;
        while !pending.tokens.is_empty() {
            let next = pending.next_offset;
            let place = Place { topic: &self.topic, partition: self.partition, expected: self.stored, next };
            match write(&self.shared.pool, place, &pending.batch, clock::now()).await {
                Ok(Written::Done) => self.settle(std::mem::take(pending)),
                Ok(Written::Elsewhere(stored)) => {
                    tracing::warn!(part = self.part, expected = self.stored, stored, "another owner moved the offset");
                    match judge(self.stored, stored, next) {
                        Conflict::AlreadyWritten => self.settle(std::mem::take(pending)),
                        Conflict::WriteFrom(_) if self.stopped.is_cancelled() => return Ok(Err(Stopped)),
                        Conflict::WriteFrom(_) => {}
                        Conflict::Rewound => return Err(self.rewound(stored)),
                    }
                    self.stored = stored;
                }
                Err(error) => {
                    if self.failed(&error, &mut pause).await.is_err() {
                        return Ok(Err(Stopped));
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// What is written is done with.
    fn settle(&mut self, written: Pending) {
        self.stored = Some(written.next_offset);
        self.shared.health.fine(&self.part);
        metrics::counter!("postrider_projector_batches_total").increment(1);
        metrics::counter!("postrider_projector_records_total").increment(written.tokens.len() as u64);
        metrics::counter!("postrider_projector_attempts_total").increment(written.batch.rows.attempts.len() as u64);
        if let Some(newest) = written.newest {
            let lag = self.shared.producer.clock().now().since(newest);
            metrics::gauge!("postrider_projector_lag_seconds", "topic" => self.topic.clone(), "partition" => self.partition.to_string())
                .set(lag.as_secs_f64());
        }
        written.tokens.into_iter().for_each(SettleToken::settle);
    }

    /// The offset in the database, however long it is away.
    async fn read_stored(&self) -> Result<Option<i64>, Stopped> {
        let mut pause = FIRST_PAUSE;
        loop {
            let read = async {
                let mut connection = self.shared.pool.acquire().await?;
                projector_offsets::get(&mut connection, &self.topic, self.partition).await
            };
            match read.await {
                Ok(stored) => return Ok(stored),
                Err(error) => self.failed(&error, &mut pause).await?,
            }
        }
    }

    /// Reports a failure of the database and waits until it is worth trying again.
    async fn failed(&self, error: &Error, pause: &mut Duration) -> Result<(), Stopped> {
        tracing::warn!(part = self.part, %error, "the delivery log can't be written; trying again");
        metrics::counter!("postrider_projector_failures_total").increment(1);
        self.shared.health.trouble(&self.part, format!("the delivery log can't be written: {error}"));
        let waited = *pause;
        *pause = (waited * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = sleep(waited) => Ok(()),
            () = self.stopped.cancelled() => Err(Stopped),
        }
    }

    fn rewound(&self, stored: Option<i64>) -> ProjectorError {
        let written = self.stored.unwrap_or(0);
        ProjectorError::Rewound { topic: self.topic.clone(), partition: self.partition, written, stored }
    }
}

/// The next batch; none once the stream has ended.
async fn collect(stream: &mut PartitionStream) -> Option<Vec<Inbound>> {
    let size = |inbound: &Inbound| inbound.record.value.as_ref().map_or(0, bytes::Bytes::len);
    let first = stream.next().await?;
    let mut bytes = size(&first);
    let mut batch = vec![first];
    let more = async {
        while batch.len() < MAX_BATCH_RECORDS && bytes < MAX_BATCH_BYTES {
            let Some(inbound) = stream.next().await else { return };
            bytes += size(&inbound);
            batch.push(inbound);
        }
    };
    // When the time is over the batch is as full as it gets.
    let _ = timeout(BATCH_WAIT, more).await;
    Some(batch)
}
