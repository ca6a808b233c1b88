//! One tenure of the relay: from taking the lock to losing it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_domain::{ConfigMarker, DirectoryVersion, EntityId, seal::KeyRing};
use postrider_kafka::{AvroRecord, Codec, Headers, Outgoing, Shutdown, TransactionError, TransactionalProducer};
use postrider_postgres::{
    Connection as _, Error, PgConnection,
    audit::AuditRow,
    audit_chain, outbox,
    relay_state::{self, RelayState},
};
use tokio::time::MissedTickBehavior;

use super::{
    Relay,
    batch::{self, Standing},
    topic,
};
use crate::{
    audit_chain::{NotedLink, extend},
    clock,
};

/// The most changes that are published in one transaction.
const MAX_BATCH_ROWS: i64 = 500;
/// The most audit records without a change of the directory that are chained in one transaction.
const MAX_CHAINED_ALONE: i64 = 1_000;
/// The most deletion records that become tombstones in one transaction.
const MAX_TOMBSTONES: i64 = 500;
/// How often a relay that waits asks for the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(500);
/// How often deletion records are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);

/// Why a tenure ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Postgres failed, or the connection with the lock was lost.
    #[error("the relay can't use Postgres: {0}")]
    Database(#[from] Error),
    /// Kafka failed, or another relay took over.
    #[error("the relay can't publish: {0}")]
    Transaction(#[from] TransactionError),
    /// The topic can't be read.
    #[error("the relay can't read the directory's topic: {0}")]
    Topic(String),
    /// The topic holds versions that this database never published.
    #[error(
        "topic {topic} is at version {found}, but this database has published only up to {published}: it was restored \
         from an older backup, or another deployment writes the topic. `postrider config republish` says what differs \
         and, with --new-epoch, puts it right; of another deployment's topic give this one a kafka.topic_prefix of its \
         own. Until then the API refuses all keys"
    )]
    TopicAhead {
        /// The directory's topic.
        topic: String,
        /// The highest version in it.
        found: DirectoryVersion,
        /// The highest that can be this database's.
        published: DirectoryVersion,
    },
    /// The topic lacks versions that this database published.
    #[error(
        "topic {topic} ends before version {published}, which this database has published: the topic was emptied or \
         made anew; `postrider config republish --new-epoch` fills it from the database"
    )]
    TopicBehind {
        /// The directory's topic.
        topic: String,
        /// The version published last.
        published: DirectoryVersion,
    },
}

/// Takes the lock, then publishes until `shutdown` (Ok) or a failure.
pub async fn run(relay: &Relay, shutdown: &Shutdown) -> Result<(), SessionError> {
    let mut connection = relay.pool.acquire().await?.detach();
    while !relay_state::try_lock(&mut connection).await? {
        // Somebody else's relay works: that is as it should be.
        relay.readiness.ready();
        tokio::select! {
            () = shutdown.soft.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOCK_INTERVAL) => {}
        }
    }
    let mut tenure = tokio::select! {
        () = shutdown.soft.cancelled() => return Ok(()),
        tenure = Tenure::begin(relay, connection) => tenure?,
    };
    relay.readiness.ready();
    let mut poll = tokio::time::interval(relay.config.poll_interval);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        // Less than a batch waits for more: a batch of few costs about as much as one of many.
        while !shutdown.soft.is_cancelled() && tenure.publish_next().await? {}
        while !shutdown.soft.is_cancelled() && tenure.chain_the_rest().await? {}
        tokio::select! {
            () = shutdown.soft.cancelled() => return Ok(()),
            _ = poll.tick() => {}
            _ = sweep.tick() => {
                tenure.note_chain();
                tenure.sweep(relay.config.keep_deletions).await?;
            }
        }
    }
}

/// The lock, and what may be done under it.
struct Tenure {
    connection: PgConnection,
    producer: TransactionalProducer,
    codec: Codec,
    key_ring: KeyRing,
    topic: Arc<str>,
    state: RelayState,
    /// The last link of the audit log's chain. Kept here, not read again: the chain goes on where this relay left it, so
    /// that links which somebody cut off meanwhile leave a gap.
    chained: Option<(i64, Vec<u8>)>,
}

impl Tenure {
    /// Fences the relay before this one, checks that topic and database agree, and sees to it that the topic
    /// has a marker. `connection` has the lock.
    async fn begin(relay: &Relay, mut connection: PgConnection) -> Result<Self, SessionError> {
        let topic = relay.topics.config();
        let transactional_id = relay.topics.group("relay");
        let producer = TransactionalProducer::init(&relay.kafka, &transactional_id).await?;
        let state = relay_state::get(&mut connection).await?;
        let end = topic::read_to_end(&relay.kafka, &topic, &relay.codec).await.map_err(SessionError::Topic)?;
        match batch::standing(end.highest, &state) {
            Standing::Agree => relay_state::note(&mut connection, false).await?,
            Standing::TopicAhead => {
                relay_state::note(&mut connection, true).await?;
                let published = DirectoryVersion { epoch: state.version.epoch, seq: state.reserved_seq };
                return Err(SessionError::TopicAhead { topic, found: end.highest.unwrap_or_default(), published });
            }
            Standing::TopicBehind => return Err(SessionError::TopicBehind { topic, published: state.version }),
        }
        tracing::info!(version = %state.version, live = state.live, "the relay works");
        let chained = audit_chain::head(&mut connection).await?;
        let tenure = Self {
            connection,
            producer,
            codec: relay.codec.clone(),
            key_ring: relay.key_ring.clone(),
            topic: topic.into(),
            state,
            chained,
        };
        if end.marker.is_none_or(|marker| marker.epoch < state.version.epoch) {
            // Without a marker no process would ever know that the directory, or a new epoch of it, is complete.
            let marker = ConfigMarker { version: state.version, live: state.live };
            let record = tenure.record(ConfigMarker::KEY, Some(&marker));
            tenure.producer.publish(vec![record]).await?;
        }
        Ok(tenure)
    }

    /// Publishes the oldest changes. True if there were as many as are published at once, so that there may be more.
    async fn publish_next(&mut self) -> Result<bool, SessionError> {
        let rows = outbox::first(&mut self.connection, MAX_BATCH_ROWS).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= MAX_BATCH_ROWS);
        let entities: Vec<EntityId> = rows.iter().map(|row| row.entity.clone()).collect();
        let known = relay_state::published(&mut self.connection, &entities).await?;
        let batch = batch::build(self.state, known, rows);
        if !batch.entries.is_empty() {
            // Before anything can be in the topic: what lies beyond is then not of this database's making.
            relay_state::reserve(&mut self.connection, batch.version.seq).await?;
            self.state.reserved_seq = batch.version.seq;
            self.producer.publish(self.records(&batch)).await?;
        }
        let mut transaction = self.connection.begin().await?;
        relay_state::record_batch(&mut transaction, batch.version, batch.live, &batch.entities, &batch.outbox_ids)
            .await?;
        let records = audit_chain::pending_of(&mut transaction, &batch.outbox_ids).await?;
        let chained = chain(&mut transaction, self.chained.clone(), &records, &self.key_ring).await?;
        transaction.commit().await?;
        self.chained = chained;
        self.state.version = batch.version;
        self.state.live = batch.live;
        metrics::counter!("postrider_relay_published_total").increment(batch.entries.len() as u64);
        tracing::debug!(version = %batch.version, entries = batch.entries.len(), live = batch.live, "published");
        Ok(is_full)
    }

    /// Chains audit records that came with no change of the directory. False if there is none.
    async fn chain_the_rest(&mut self) -> Result<bool, SessionError> {
        let records = audit_chain::pending_alone(&mut self.connection, MAX_CHAINED_ALONE).await?;
        if records.is_empty() {
            return Ok(false);
        }
        let mut transaction = self.connection.begin().await?;
        let chained = chain(&mut transaction, self.chained.clone(), &records, &self.key_ring).await?;
        transaction.commit().await?;
        self.chained = chained;
        Ok(true)
    }

    /// Notes the end of the audit log's chain where who can change the database can't: `postrider audit verify --noted`
    /// takes it, and tells if the newest records were cut off.
    fn note_chain(&self) {
        if let Some((seq, hash)) = &self.chained {
            let end = NotedLink { seq: *seq, hash: hash.clone() };
            tracing::info!(%end, "where the audit log's chain ends");
        }
    }

    /// Notes that a relay works here, and turns the records of deletions that are older than `keep` into tombstones.
    async fn sweep(&mut self, keep: Duration) -> Result<(), SessionError> {
        relay_state::note(&mut self.connection, false).await?;
        let before = (clock::now() - keep).to_datetime();
        loop {
            let old = relay_state::deleted_before(&mut self.connection, before, MAX_TOMBSTONES).await?;
            if old.is_empty() {
                return Ok(());
            }
            let tombstones = old.iter().map(|entity| self.record::<ConfigMarker>(entity.as_str(), None)).collect();
            self.producer.publish(tombstones).await?;
            relay_state::forget(&mut self.connection, &old).await?;
        }
    }

    /// The records of a batch, its marker last.
    fn records(&self, batch: &batch::Batch) -> Vec<Outgoing> {
        let entries = batch.entries.iter().map(|entry| self.record(entry.body.key().as_str(), Some(entry)));
        entries.chain(batch.marker.iter().map(|marker| self.record(ConfigMarker::KEY, Some(marker)))).collect()
    }

    /// A record of the topic; a tombstone if there is no value.
    fn record<T: AvroRecord>(&self, key: &str, value: Option<&T>) -> Outgoing {
        Outgoing {
            topic: self.topic.clone(),
            partition: Some(0),
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.map(|value| self.codec.encode(value)),
            headers: Headers::new(),
        }
    }
}

/// Adds `records` to the audit log's chain, behind the link `chained`; answers the last one. Nobody else does: the caller
/// has the relay's lock.
async fn chain(
    conn: &mut PgConnection,
    chained: Option<(i64, Vec<u8>)>,
    records: &[AuditRow],
    key_ring: &KeyRing,
) -> Result<Option<(i64, Vec<u8>)>, Error> {
    if records.is_empty() {
        return Ok(chained);
    }
    let links = extend(chained, records, key_ring);
    audit_chain::append(conn, &links).await?;
    Ok(links.last().map(|link| (link.seq, link.hash.clone())))
}
