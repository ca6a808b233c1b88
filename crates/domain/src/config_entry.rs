//! Entries of `postrider.config`: how the management plane tells the data plane what there is.

use serde::{Deserialize, Serialize};

use crate::{DirectoryVersion, Endpoint, EntityId, Subscription, TenantId, Timestamp};

/// One published state of one entity. Its record's key is [`ConfigBody::key`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// The directory's version once this entry is applied.
    pub version: DirectoryVersion,
    /// The entity's own version within the epoch; an older one is ignored.
    pub entity_version: i64,
    /// What the entity is now.
    pub body: ConfigBody,
}

/// The state of an entity, or that it is gone. In JSON tagged from outside (`{"endpoint": {…}}`): serde buffers
/// what is tagged from inside, and numbers of arbitrary precision don't come out of that buffer as they went in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigBody {
    /// A tenant that exists.
    Tenant(Tenant),
    /// An endpoint that exists.
    Endpoint(Box<Endpoint>),
    /// A subscription that exists.
    Subscription(Subscription),
    /// An entity that was deleted: kept 30 days as a record before its tombstone.
    Deleted(Deleted),
}

/// A tenant, as the data plane knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, for logs.
    pub name: String,
}

/// That an entity is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Which entity.
    pub id: EntityId,
    /// What it was.
    pub entity: EntityKind,
    /// Since when.
    pub at: Timestamp,
}

/// The kinds of entity in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A [`Tenant`].
    Tenant,
    /// An [`Endpoint`].
    Endpoint,
    /// A [`Subscription`].
    Subscription,
}

impl ConfigBody {
    /// The record's key: the entity's id.
    pub fn key(&self) -> EntityId {
        match self {
            Self::Tenant(tenant) => (&tenant.id).into(),
            Self::Endpoint(endpoint) => (&endpoint.id).into(),
            Self::Subscription(subscription) => (&subscription.id).into(),
            Self::Deleted(deleted) => deleted.id.clone(),
        }
    }

    /// Whether the entity counts in the marker's number of live entities.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Deleted(_))
    }
}

/// The completeness marker: one compacted record, rewritten with every change of the number of entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMarker {
    /// The directory's version as of this marker.
    pub version: DirectoryVersion,
    /// How many entities are live at that version; deletion records are not counted.
    pub live: i64,
}

impl ConfigMarker {
    /// The marker's key in the topic.
    pub const KEY: &'static str = "#marker";
}
