//! Publishing the whole directory under a new epoch, after the database was restored from an older backup.
//!
//! The topic is the newer one of the two then, and what it says is taken over into the database: what is deleted stays
//! deleted, what was changed since is as it was changed, what was made since is made again from what the data plane
//! knew of it, and the texts of API keys that were revoked or replaced since work no more. Then everything that is in
//! the database is put into the outbox under the next epoch, from where the relay publishes it as it always does: the
//! directory goes on with what it has until the new epoch is complete.
//!
//! Of a topic that was emptied nothing is taken over: there the database is the newer one.
//!
//! All of it is one transaction, under the relay's lock.

mod everything;
mod keys;
mod rows;
mod take_over;

use std::{collections::HashSet, time::Duration};

use postrider_domain::{ConfigEntry, DirectoryVersion, EntityId, KeyId, Timestamp, seal::KeyRing};
use postrider_kafka::{Codec, KafkaConfig, Topics};
use postrider_postgres::{Connection as _, Database, Error, PgConnection, relay_state, republish};
use serde_json::json;

use crate::{
    audit::{Actor, Change, record},
    clock,
    manage::{Edit, ManageError, Precondition},
    relay::{
        RelayConfig,
        batch::{Standing, standing},
        topic,
    },
};

use take_over::TakeOver;

/// How long a relay that refuses has the lock for at most, reading the topic.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// What the operator wants to be otherwise.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Ids of what was deleted or revoked since the backup, and is to be as it was in it.
    pub bring_back: HashSet<String>,
    /// Whether keys work on although the backup is so old that nobody knows which of them were revoked since.
    pub keep_keys: bool,
}

/// What was done, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The version that the topic has; none if it is empty.
    pub found: Option<DirectoryVersion>,
    /// The epoch that begins; none if the topic and the database agree, so that there is nothing to do.
    pub epoch: Option<i64>,
    /// How many entities the directory has in it.
    pub live: usize,
    /// What was deleted since the backup, and is deleted again.
    pub deleted: Vec<EntityId>,
    /// What was changed since, and is so again.
    pub changed: Vec<EntityId>,
    /// What was made since, and is there again, without what the data plane does not know of it.
    pub made: Vec<EntityId>,
    /// Keys that were revoked or rotated since, and are revoked now.
    pub revoked: Vec<KeyId>,
    /// Whether all keys are among those, because the backup is too old to know.
    pub all_revoked: bool,
    /// What was deleted or revoked since and is as it was in the backup, as was asked for.
    pub brought_back: Vec<String>,
}

/// Why it could not be done. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum RepublishError {
    /// Another process has the lock.
    #[error(
        "a relay works on this database, and does so only if the topic agrees with it: there is nothing to republish; \
         to make sure, see what it says at /readyz"
    )]
    RelayWorks,
    /// The topic can't be read.
    #[error("topic {topic} can't be read: {reason}")]
    Topic {
        /// The directory's topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// It was sealed by other keys.
    #[error(
        "what is sealed in {entity} in the topic can't be opened: {reason}. Is it another deployment's topic \
         (kafka.topic_prefix), or is a key missing from security.master_keys?"
    )]
    Sealed {
        /// Whose.
        entity: EntityId,
        /// Why.
        reason: String,
    },
    /// Something else was asked for than what there is.
    #[error("nothing that was deleted or revoked since the backup has the id {0}")]
    NothingToBringBack(String),
    /// A change that could not be made.
    #[error(transparent)]
    Change(#[from] ManageError),
}

impl From<Error> for RepublishError {
    fn from(error: Error) -> Self {
        Self::Change(error.into())
    }
}

/// The database and the topic.
#[derive(Debug)]
pub struct Republish<'a> {
    /// The database.
    pub pool: &'a Database,
    /// How to reach the topic.
    pub kafka: &'a KafkaConfig,
    /// Its name is among these.
    pub topics: &'a Topics,
    /// Reads what is in it.
    pub codec: &'a Codec,
    /// What is sealed in it has to be sealed by one of these.
    pub key_ring: &'a KeyRing,
}

impl Republish<'_> {
    /// Does it, or finds out what it would do if not `for_good`.
    pub async fn run(&self, choice: &Choice, for_good: bool) -> Result<Report, RepublishError> {
        let topic = self.topics.config();
        let failed = |reason| RepublishError::Topic { topic: topic.clone(), reason };
        let mut connection = self.pool.acquire().await?.detach();
        // Where they agree a relay works, and has the lock.
        let end = topic::read_to_end(self.kafka, &topic, self.codec).await.map_err(failed)?;
        if standing(end.highest, &relay_state::get(&mut connection).await?) == Standing::Agree {
            return Ok(Report { found: end.highest, ..Report::default() });
        }
        lock(&mut connection).await?;
        let (end, mut entries) = topic::read_entries(self.kafka, &topic, self.codec).await.map_err(failed)?;
        let mut transaction = connection.begin().await?;
        republish::lock(&mut transaction).await?;
        let state = relay_state::get(&mut transaction).await?;
        let is_ahead = match standing(end.highest, &state) {
            Standing::Agree => return Ok(Report { found: end.highest, ..Report::default() }),
            Standing::TopicAhead => true,
            Standing::TopicBehind => false,
        };
        let actor = Actor::cli();
        let edit = Edit {
            pool: self.pool,
            key_ring: self.key_ring,
            actor: &actor,
            now: clock::now(),
            precondition: &Precondition::AnyVersion,
        };
        let published = republish::published_live(&mut transaction).await?;
        let worked_at = Timestamp::from_datetime(republish::last_worked(&mut transaction).await?);
        for row in republish::take_unpublished(&mut transaction).await? {
            if !row.body.is_live() {
                // Deleted before the backup, and perhaps never published.
                let (version, entity_version) = (state.version, row.entity_version);
                entries.insert(row.entity, ConfigEntry { version, entity_version, body: row.body });
            }
        }

        let mut report = Report { found: end.highest, ..Report::default() };
        if is_ahead {
            let taken = TakeOver { edit, entries: &entries, published: &published, choice, report: &mut report };
            taken.run(&mut transaction).await?;
            keys::take_over(edit, &mut transaction, &mut entries, choice, &mut report).await?;
            if edit.now.since(worked_at) >= RelayConfig::default().keep_deletions && !choice.keep_keys {
                keys::revoke_all(edit, &mut transaction, &mut report).await?;
            }
        }
        if let Some(missed) = choice.bring_back.iter().find(|id| !report.brought_back.contains(id)) {
            return Err(RepublishError::NothingToBringBack(missed.clone()));
        }
        let epoch = end.highest.unwrap_or_default().epoch.max(state.version.epoch) + 1;
        report.epoch = Some(epoch);
        report.live = everything::publish(edit, &mut transaction, entries).await?;
        republish::begin_epoch(&mut transaction, epoch).await?;
        write_down(edit, &mut transaction, &report).await?;
        if for_good {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(report)
    }
}

/// Takes the relay's lock; one that refuses has it for as long as it reads the topic.
async fn lock(conn: &mut PgConnection) -> Result<(), RepublishError> {
    let taken = async {
        while !relay_state::try_lock(conn).await? {
            tokio::time::sleep(LOCK_INTERVAL).await;
        }
        Ok::<(), Error>(())
    };
    match tokio::time::timeout(LOCK_PATIENCE, taken).await {
        Ok(taken) => Ok(taken?),
        Err(_) => Err(RepublishError::RelayWorks),
    }
}

/// Adds to the audit log that it was done.
async fn write_down(edit: Edit<'_>, conn: &mut PgConnection, report: &Report) -> Result<(), Error> {
    let after = json!({
        "epoch": report.epoch,
        "live": report.live,
        "deleted": report.deleted.len(),
        "changed": report.changed.len(),
        "made": report.made.len(),
        "keys_revoked": report.revoked.len(),
        "brought_back": report.brought_back,
    });
    let (action, entity_id) = ("config.republish", "config");
    let change = Change { tenant: None, action, entity_id, before: None, after: Some(after) };
    record(conn, edit.actor, edit.now, change).await
}
