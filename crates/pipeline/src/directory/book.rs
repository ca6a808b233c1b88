//! The entities of one epoch.

use std::{collections::HashMap, sync::Arc};

use postrider_domain::{
    ConfigBody, ConfigEntry, ConfigMarker, DirectoryVersion, Endpoint, EndpointId, EntityId, EntityKind, EventType,
    SubscriptionId, TenantId, Timestamp, delivery_event::HoldReason, event_type::CompiledEventType,
    index::SubscriptionIndex, sharded::Sharded,
};

use super::tenants::HeldTenants;

/// Everything that was published in one epoch, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// None while nothing that has a version was read: the first that has one decides the epoch.
    version: Option<DirectoryVersion>,
    /// The newest version at which a subscription came or changed.
    grown: Option<DirectoryVersion>,
    marker: Option<ConfigMarker>,
    entities: Sharded<EntityId, Known>,
    /// Entities that are there and not deleted.
    live: i64,
    endpoints: Sharded<EndpointId, Arc<Endpoint>>,
    subscriptions: SubscriptionIndex,
    /// By name.
    event_types: HashMap<String, Arc<CompiledEventType>>,
    event_type_names: HashMap<EntityId, String>,
    tenants: HeldTenants,
}

/// What is known of an entity beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    entity_version: i64,
    live: bool,
}

/// The version of an entity none of whose entries could be decoded: anything that can be is newer.
const UNREADABLE: i64 = i64::MIN;

impl Book {
    /// None while nothing that has an epoch was read.
    pub(super) fn epoch(&self) -> Option<i64> {
        self.version.map(|version| version.epoch)
    }

    pub(super) fn version(&self) -> Option<DirectoryVersion> {
        self.version
    }

    /// The newest version at which a subscription came or changed: from then on, more may match.
    pub(super) fn grown(&self) -> Option<DirectoryVersion> {
        self.grown
    }

    pub(super) fn live(&self) -> i64 {
        self.live
    }

    /// How many entities are live according to the marker; none if there is no marker.
    pub(super) fn expected(&self) -> Option<i64> {
        self.marker.map(|marker| marker.live)
    }

    /// Whether there is a marker and it agrees with what is here.
    pub(super) fn agrees(&self) -> bool {
        self.expected() == Some(self.live)
    }

    pub(super) fn endpoint(&self, id: &EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(id)
    }

    /// Whether it exists, but what it is could never be read.
    pub(super) fn is_unreadable(&self, id: &EndpointId) -> bool {
        self.entities.get(&EntityId::from(id)).is_some_and(|known| known.entity_version == UNREADABLE)
    }

    pub(super) fn subscriptions(&self) -> &SubscriptionIndex {
        &self.subscriptions
    }

    /// Why what comes for a tenant's endpoints is held at `now`, if it is.
    pub(super) fn tenant_hold(&self, tenant: &TenantId, now: Timestamp) -> Option<HoldReason> {
        self.tenants.hold(tenant, now)
    }

    pub(super) fn event_type(&self, name: &str) -> Option<&Arc<CompiledEventType>> {
        self.event_types.get(name)
    }

    /// Takes an entry of this epoch; one that is not newer than what is known of its entity changes nothing.
    pub(super) fn apply(&mut self, entry: ConfigEntry) {
        self.version = self.version.max(Some(entry.version));
        let key = entry.body.key();
        let before = self.entities.get(&key);
        if before.is_some_and(|known| known.entity_version >= entry.entity_version) {
            return;
        }
        let now = Known { entity_version: entry.entity_version, live: entry.body.is_live() };
        self.live += i64::from(now.live) - i64::from(before.is_some_and(|known| known.live));
        self.entities.part_mut(&key).insert(key, now);
        match entry.body {
            ConfigBody::Tenant(tenant) => self.tenants.note(&tenant),
            ConfigBody::Endpoint(endpoint) => {
                let endpoint: Arc<Endpoint> = Arc::from(endpoint);
                self.endpoints.part_mut(&endpoint.id).insert(endpoint.id.clone(), endpoint);
            }
            ConfigBody::Subscription(subscription) => {
                self.grown = self.grown.max(Some(entry.version));
                self.subscriptions.insert(subscription);
            }
            ConfigBody::EventType(event_type) => self.insert_event_type(*event_type),
            ConfigBody::Deleted(deleted) => self.remove(&deleted.id, deleted.entity),
        }
    }

    pub(super) fn mark(&mut self, marker: ConfigMarker) {
        self.version = self.version.max(Some(marker.version));
        self.marker = Some(marker);
    }

    /// Takes note of an entry that can't be decoded: what was known stays, what was not counts as there.
    pub(super) fn keep(&mut self, key: EntityId) {
        self.entities.part_mut(&key).entry(key).or_insert_with(|| {
            self.live += 1;
            Known { entity_version: UNREADABLE, live: true }
        });
    }

    /// Forgets an entity whose deletion is so old that its record became a tombstone.
    pub(super) fn forget(&mut self, key: &EntityId) {
        if let Some(known) = self.entities.part_mut(key).remove(key) {
            self.live -= i64::from(known.live);
            self.remove(key, EntityKind::Endpoint);
            self.remove(key, EntityKind::Subscription);
            self.remove(key, EntityKind::EventType);
            self.remove(key, EntityKind::Tenant);
        }
    }

    fn remove(&mut self, id: &EntityId, kind: EntityKind) {
        match kind {
            EntityKind::ApiKey | EntityKind::Unknown => {}
            EntityKind::Tenant => self.tenants.forget(id),
            EntityKind::Endpoint => {
                self.endpoints.part_mut(id.as_str()).remove(id.as_str());
            }
            EntityKind::Subscription => self.subscriptions.remove(&SubscriptionId::from_trusted(id.as_str())),
            EntityKind::EventType => self.remove_event_type(id),
        }
    }

    fn remove_event_type(&mut self, id: &EntityId) {
        let Some(name) = self.event_type_names.remove(id) else { return };
        // Another one may have the name by now.
        if self.event_types.get(&name).is_some_and(|known| known.event_type().id.as_str() == id.as_str()) {
            self.event_types.remove(&name);
        }
    }

    fn insert_event_type(&mut self, event_type: EventType) {
        self.event_type_names.insert((&event_type.id).into(), event_type.name.clone());
        self.event_types.insert(event_type.name.clone(), Arc::new(CompiledEventType::new(event_type)));
    }
}
