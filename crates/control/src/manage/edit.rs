//! What every change has in common.

use postrider_domain::{ConfigBody, EntityId, EntityKind, Timestamp, config_entry::Deleted, seal::KeyRing};
use postrider_postgres::{Database, Error, PgConnection};

use crate::{
    api::ApiState,
    audit::{self, Actor, Change},
};

/// One change in the making: where, by whom and when.
#[derive(Clone, Copy)]
pub struct Edit<'a> {
    /// The database.
    pub pool: &'a Database,
    /// The keys that seal what is secret.
    pub key_ring: &'a KeyRing,
    /// Who acts.
    pub actor: &'a Actor,
    /// When.
    pub now: Timestamp,
    /// Which versions of the entity it is meant for.
    pub precondition: &'a Precondition,
}

/// Which versions of an entity a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Whichever there is.
    AnyVersion,
    /// One of these.
    OneOf(Vec<i64>),
}

impl Precondition {
    /// Refuses a change of an entity whose version is another one. To be asked with the entity's row locked.
    pub fn check(&self, version: i64) -> Result<(), ManageError> {
        match self {
            Self::OneOf(wanted) if !wanted.contains(&version) => Err(ManageError::Changed { version }),
            Self::AnyVersion | Self::OneOf(_) => Ok(()),
        }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// What was to be changed is not there; its kind.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It is not what the change was made for: somebody else has changed it.
    #[error("it was changed meanwhile, to version {version}: read it again and repeat the change on what it is now")]
    Changed {
        /// What its version is.
        version: i64,
    },
    /// It can't be done to it as it is; says why, and what to do.
    #[error("{0}")]
    Conflict(String),
    /// The endpoint has as many subscriptions as it may.
    #[error("an endpoint may have at most {0} subscriptions; delete one, or use several event types in one")]
    TooManySubscriptions(usize),
    /// A setting that does not go with the others.
    #[error("{message}")]
    Setting {
        /// Which, as a JSON pointer.
        field: &'static str,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A value that can't be taken.
    #[error("{message}")]
    Value {
        /// Which, as a JSON pointer.
        field: String,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A stored secret can't be opened with the keys at hand.
    #[error("what is sealed in {entity} can't be opened: {reason}; is its key missing from the key ring?")]
    Sealed {
        /// Whose.
        entity: String,
        /// What opening it ended with.
        reason: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

impl<'a> Edit<'a> {
    /// A change that came over the API.
    pub fn new(state: &'a ApiState, actor: &'a Actor, now: Timestamp) -> Self {
        Self { pool: &state.pool, key_ring: &state.key_ring, actor, now, precondition: &Precondition::AnyVersion }
    }

    /// The same change, for some versions only.
    #[must_use]
    pub fn only_if(self, precondition: &'a Precondition) -> Self {
        Self { precondition, ..self }
    }

    /// Writes a change down: for the directory (if it has such entities) and for the audit log.
    pub(crate) async fn publish(
        &self,
        conn: &mut PgConnection,
        entity_version: i64,
        body: &ConfigBody,
        change: Change<'_>,
    ) -> Result<(), Error> {
        audit::publish(conn, self.actor, self.now, entity_version, body, change).await
    }

    /// The directory's record that an entity is gone.
    pub(crate) fn deleted(&self, id: EntityId, entity: EntityKind) -> ConfigBody {
        ConfigBody::Deleted(Deleted { id, entity, at: self.now })
    }
}
