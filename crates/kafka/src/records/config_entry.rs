//! Configuration entries in Avro, by types of their own: what is sealed as bytes, what is nested as the API's JSON.

use std::borrow::Cow;

use postrider_domain::{
    ConfigBody, ConfigEntry, DirectoryVersion, EndpointId, EntityId, EntityKind, EventType, EventTypeId, SecretId,
    Subscription, SubscriptionId, TenantId, Timestamp,
    config_entry::{Deleted, Tenant},
    endpoint::{Endpoint, EndpointSecret},
    event_type::ValidationMode,
    json_text::JsonText,
    pattern::TypePattern,
    seal::Sealed,
};
use serde::{Deserialize, Serialize};

use super::Wire;
use crate::codec::AvroRecord;

/// [`ConfigEntry`] in Avro.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfigEntryForm {
    version: DirectoryVersion,
    entity_version: i64,
    body: BodyForm,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum BodyForm {
    Tenant(Tenant),
    Endpoint(EndpointForm),
    Subscription(SubscriptionForm),
    Deleted(DeletedForm),
    EventType(EventTypeForm),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EndpointForm {
    id: EndpointId,
    tenant: TenantId,
    #[serde(with = "serde_bytes")]
    url: Vec<u8>,
    origin: String,
    enabled: bool,
    enabled_version: i64,
    timeout_ms: i32,
    retry: String,
    secrets: Vec<SecretForm>,
    #[serde(default = "no_settings")]
    settings: String,
}

/// What an endpoint has that was written before there were settings.
fn no_settings() -> String {
    "{}".to_owned()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SecretForm {
    id: SecretId,
    #[serde(with = "serde_bytes")]
    sealed: Vec<u8>,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SubscriptionForm {
    id: SubscriptionId,
    tenant: TenantId,
    endpoint: EndpointId,
    event_types: Vec<TypePattern>,
    filter: Option<String>,
    mapping: Option<String>,
    created_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EventTypeForm {
    id: EventTypeId,
    name: String,
    group: String,
    description: String,
    schema: Option<String>,
    validation: ValidationMode,
    archived: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct DeletedForm {
    id: EntityId,
    entity: EntityKind,
    at: Timestamp,
}

impl AvroRecord for ConfigEntry {}

impl Wire for ConfigEntry {
    const SCHEMA: &'static str = "ConfigEntry";
    type Form = ConfigEntryForm;

    fn to_wire(&self) -> Cow<'_, ConfigEntryForm> {
        let body = match &self.body {
            ConfigBody::Tenant(tenant) => BodyForm::Tenant(tenant.clone()),
            ConfigBody::Endpoint(endpoint) => BodyForm::Endpoint(endpoint_form(endpoint)),
            ConfigBody::Subscription(subscription) => BodyForm::Subscription(subscription_form(subscription)),
            ConfigBody::EventType(event_type) => BodyForm::EventType(event_type_form(event_type)),
            ConfigBody::Deleted(deleted) => {
                BodyForm::Deleted(DeletedForm { id: deleted.id.clone(), entity: deleted.entity, at: deleted.at })
            }
        };
        Cow::Owned(ConfigEntryForm { version: self.version, entity_version: self.entity_version, body })
    }

    fn from_wire(form: ConfigEntryForm) -> Result<Self, String> {
        let body = match form.body {
            BodyForm::Tenant(tenant) => ConfigBody::Tenant(tenant),
            BodyForm::Endpoint(endpoint) => ConfigBody::Endpoint(Box::new(endpoint_from(endpoint)?)),
            BodyForm::Subscription(subscription) => ConfigBody::Subscription(subscription_from(subscription)?),
            BodyForm::EventType(event_type) => ConfigBody::EventType(Box::new(event_type_from(event_type)?)),
            BodyForm::Deleted(DeletedForm { id, entity, at }) => ConfigBody::Deleted(Deleted { id, entity, at }),
        };
        Ok(Self { version: form.version, entity_version: form.entity_version, body })
    }
}

fn endpoint_form(endpoint: &Endpoint) -> EndpointForm {
    let secret = |secret: &EndpointSecret| SecretForm {
        id: secret.id.clone(),
        sealed: secret.sealed.as_bytes().to_vec(),
        expires_at: secret.expires_at,
    };
    EndpointForm {
        id: endpoint.id.clone(),
        tenant: endpoint.tenant.clone(),
        url: endpoint.url.as_bytes().to_vec(),
        origin: endpoint.origin.clone(),
        enabled: endpoint.enabled,
        enabled_version: endpoint.enabled_version,
        timeout_ms: i32::try_from(endpoint.timeout_ms).unwrap_or(i32::MAX),
        retry: serde_json::to_string(&endpoint.retry).expect("a retry policy is JSON"),
        secrets: endpoint.secrets.iter().map(secret).collect(),
        settings: serde_json::to_string(&endpoint.settings).expect("settings are JSON"),
    }
}

fn endpoint_from(form: EndpointForm) -> Result<Endpoint, String> {
    let open = |bytes| Sealed::from_bytes(bytes).map_err(|error| error.to_string());
    let secret = |secret: SecretForm| {
        Ok(EndpointSecret { id: secret.id, sealed: open(secret.sealed)?, expires_at: secret.expires_at })
    };
    Ok(Endpoint {
        id: form.id,
        tenant: form.tenant,
        url: open(form.url)?,
        origin: form.origin,
        enabled: form.enabled,
        enabled_version: form.enabled_version,
        timeout_ms: u32::try_from(form.timeout_ms).map_err(|_| "timeout_ms is negative".to_owned())?,
        retry: serde_json::from_str(&form.retry).map_err(|error| format!("retry: {error}"))?,
        secrets: form.secrets.into_iter().map(secret).collect::<Result<_, String>>()?,
        settings: serde_json::from_str(&form.settings).map_err(|error| format!("settings: {error}"))?,
    })
}

fn subscription_form(subscription: &Subscription) -> SubscriptionForm {
    let (filter, mapping) = (subscription.filter.as_ref(), subscription.mapping.as_ref());
    SubscriptionForm {
        id: subscription.id.clone(),
        tenant: subscription.tenant.clone(),
        endpoint: subscription.endpoint.clone(),
        event_types: subscription.event_types.clone(),
        filter: filter.map(|filter| serde_json::to_string(filter).expect("a filter is JSON")),
        mapping: mapping.map(|mapping| serde_json::to_string(mapping).expect("a mapping is JSON")),
        created_at: subscription.created_at,
    }
}

fn subscription_from(form: SubscriptionForm) -> Result<Subscription, String> {
    let filter = form.filter.as_deref().map(serde_json::from_str).transpose();
    let mapping = form.mapping.as_deref().map(serde_json::from_str).transpose();
    Ok(Subscription {
        id: form.id,
        tenant: form.tenant,
        endpoint: form.endpoint,
        event_types: form.event_types,
        filter: filter.map_err(|error| format!("filter: {error}"))?,
        mapping: mapping.map_err(|error| format!("mapping: {error}"))?,
        created_at: form.created_at,
    })
}

fn event_type_form(event_type: &EventType) -> EventTypeForm {
    EventTypeForm {
        id: event_type.id.clone(),
        name: event_type.name.clone(),
        group: event_type.group.clone(),
        description: event_type.description.clone(),
        schema: event_type.schema.as_ref().map(|schema| schema.as_str().to_owned()),
        validation: event_type.validation,
        archived: event_type.archived,
    }
}

fn event_type_from(form: EventTypeForm) -> Result<EventType, String> {
    let schema = form.schema.as_deref().map(JsonText::parse).transpose();
    Ok(EventType {
        id: form.id,
        name: form.name,
        group: form.group,
        description: form.description,
        schema: schema.map_err(|error| format!("schema: {error}"))?,
        validation: form.validation,
        archived: form.archived,
    })
}
