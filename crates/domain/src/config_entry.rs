//! Entries of `postrider.config`: how the management plane tells the data plane what there is.

use serde::{Deserialize, Serialize};

use crate::{DirectoryVersion, Endpoint, EntityId, EventType, Subscription, TenantId, Timestamp};

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
    /// An event type that exists.
    EventType(Box<EventType>),
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
    /// Whether an operator suspended it: what comes for its endpoints is held.
    #[serde(default)]
    pub suspended: bool,
    /// Until when it is over its quota of deliveries: what comes for its endpoints is held until then.
    #[serde(default)]
    pub held_until: Option<Timestamp>,
}

impl Tenant {
    /// A tenant in good standing.
    pub fn new(id: TenantId, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), suspended: false, held_until: None }
    }
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
    /// An [`EventType`].
    EventType,
    /// The text of an API key, by its public part. The data plane has no use for keys: only that a text ends is
    /// published, so that it stays so when the database is restored from an older backup.
    ApiKey,
    /// One that only a newer release knows. It was never read, so that nothing is left to remove.
    #[serde(other)]
    Unknown,
}

impl ConfigBody {
    /// The record's key: the entity's id.
    pub fn key(&self) -> EntityId {
        match self {
            Self::Tenant(tenant) => (&tenant.id).into(),
            Self::Endpoint(endpoint) => (&endpoint.id).into(),
            Self::Subscription(subscription) => (&subscription.id).into(),
            Self::EventType(event_type) => (&event_type.id).into(),
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

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use serde_json::json;

    use super::*;
    use crate::{
        EndpointId, EventTypeId, SecretId, SubscriptionId,
        endpoint::{EndpointSecret, EndpointSettings, purpose},
        event_type::ValidationMode,
        filter::Filter,
        json_text::JsonText,
        retry::{Exponential, RetryPolicy, Schedule},
        seal::{KeyRing, SealedAt},
    };

    fn tenant() -> TenantId {
        TenantId::from_trusted("ten_1")
    }

    fn endpoint() -> Endpoint {
        let mut rng = StdRng::seed_from_u64(1);
        let keys = KeyRing::parse(&KeyRing::generate_text(&mut rng)).unwrap();
        let id = EndpointId::from_trusted("ep_1");
        let mut seal = |text: &[u8], purpose| {
            keys.seal(text, SealedAt { tenant: &tenant(), entity: &(&id).into(), purpose, version: 2 }, &mut rng)
        };
        let exponential = Exponential { initial_seconds: 5, factor: 2.1, max_seconds: 3_600, retries: 5 };
        let secret = EndpointSecret {
            id: SecretId::from_trusted("sec_1"),
            sealed: seal(b"whsec_x", purpose::SECRET),
            expires_at: Some(Timestamp::from_millis(9)),
        };
        Endpoint {
            id: id.clone(),
            tenant: tenant(),
            url: seal(b"https://example.com/", purpose::URL),
            origin: "https://example.com".into(),
            enabled: true,
            enabled_version: 2,
            timeout_ms: 30_000,
            retry: RetryPolicy::new(Schedule::Exponential(exponential), Some(86_400)).unwrap(),
            secrets: vec![secret],
            settings: EndpointSettings { paused: true, ..EndpointSettings::default() },
        }
    }

    fn subscription() -> Subscription {
        let exact = r#"{"all": [
            {"field": "data.total", "operator": "greater_than", "value": 0.10000000000000000000000001},
            {"field": "data.id", "operator": "in", "value": [18446744073709551616, {"a": 1e400}]}]}"#;
        let mapping =
            r#"{"body": {"total": 0.10000000000000000000000001, "id": {"$path": "data.id", "$default": 1e400}}}"#;
        Subscription {
            id: SubscriptionId::from_trusted("sub_1"),
            tenant: tenant(),
            endpoint: EndpointId::from_trusted("ep_1"),
            event_types: ["order.*", "*", "a.b"].map(|pattern| pattern.parse().unwrap()).into(),
            filter: Some(serde_json::from_str::<Filter>(exact).unwrap()),
            mapping: Some(serde_json::from_str(mapping).unwrap()),
            created_at: Timestamp::from_millis(7),
        }
    }

    fn event_type() -> EventType {
        EventType {
            id: EventTypeId::from_trusted("ety_1"),
            name: "order.created".into(),
            group: "order".into(),
            description: "An order was placed.".into(),
            schema: Some(JsonText::parse(r#"{"type": "number", "maximum": 18446744073709551616.10}"#).unwrap()),
            validation: ValidationMode::Reject,
            archived: true,
        }
    }

    #[test]
    fn every_entry_survives_json_exactly() {
        let deleted =
            Deleted { id: EntityId::from_trusted("ep_1"), entity: EntityKind::Endpoint, at: Timestamp::from_millis(1) };
        let bodies = [
            ConfigBody::Tenant(Tenant::new(tenant(), "Ann")),
            ConfigBody::Endpoint(Box::new(endpoint())),
            ConfigBody::Subscription(subscription()),
            ConfigBody::EventType(Box::new(event_type())),
            ConfigBody::Deleted(deleted),
        ];
        for body in bodies {
            let entry = ConfigEntry { version: DirectoryVersion { epoch: 1, seq: 2 }, entity_version: 3, body };
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<ConfigEntry>(&text).unwrap(), entry, "{text}");
            // By way of a `Value`, as a JSON column is read.
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::from_value::<ConfigEntry>(value).unwrap(), entry, "{text}");
        }
    }

    #[test]
    fn what_was_written_before_there_were_mappings_is_read() {
        let mut json = serde_json::to_value(subscription()).unwrap();
        json.as_object_mut().unwrap().remove("mapping");
        assert_eq!(
            serde_json::from_value::<Subscription>(json).unwrap(),
            Subscription { mapping: None, ..subscription() }
        );
    }

    #[test]
    fn a_deletion_of_a_kind_that_came_later_is_read() {
        let deleted = json!({"deleted": {"id": "new_1", "entity": "novelty", "at": Timestamp::EPOCH}});
        let body = serde_json::from_value(deleted).unwrap();
        assert!(matches!(body, ConfigBody::Deleted(Deleted { entity: EntityKind::Unknown, .. })), "{body:?}");
    }

    #[test]
    fn the_json_names_the_kind() {
        let body = ConfigBody::Tenant(Tenant::new(tenant(), "Ann"));
        let written = json!({"tenant": {"id": "ten_1", "name": "Ann", "suspended": false, "held_until": null}});
        assert_eq!(serde_json::to_value(&body).unwrap(), written);
    }

    #[test]
    fn the_key_is_the_entitys_id_and_only_deletions_are_not_live() {
        let body = ConfigBody::Subscription(subscription());
        assert_eq!((body.key(), body.is_live()), (EntityId::from_trusted("sub_1"), true));
        let id = body.key();
        let deleted = ConfigBody::Deleted(Deleted { id, entity: EntityKind::Subscription, at: Timestamp::EPOCH });
        assert_eq!((deleted.key(), deleted.is_live()), (body.key(), false));
    }
}
