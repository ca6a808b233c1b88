//! What requests and answers about endpoints look like.

use std::collections::BTreeMap;

use poem_openapi::{
    Enum, Object,
    types::{Example, MaybeUndefined},
};
use postrider_domain::{Timestamp, endpoint_state::DisableReason, retry::RetryPolicy, seal::KeyRing};
use postrider_postgres::endpoints::EndpointRow;
use serde::Deserialize;

use super::{
    endpoint_setting_types::{BodyJson, ClientCertificate, MaintenanceJson, OrderingJson, RateLimitJson, SigningJson},
    endpoint_settings::{Settings, SettingsInput},
    problem::Problem,
    schema::{FilterJson, MappingJson, RetryJson, SecretJson, Time},
    state::ApiState,
    subscriptions::Subscription,
    validate,
};
use crate::{
    auth::{Caller, Scope},
    manage::{
        self,
        endpoints::{EndpointPatch, NewEndpoint, NewSubscription},
        subscriptions::MAX_PER_ENDPOINT,
    },
    secret_text::REDACTED,
};

const DEFAULT_TIMEOUT_MS: u32 = 30_000;

/// An endpoint that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointInput {
    /// Its name, for people.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// Where deliveries are posted: `https`, without credentials or fragment, to a public host.
    #[oai(validator(max_length = 2048))]
    url: String,
    /// What it is for.
    #[serde(default)]
    #[oai(default, validator(max_length = 2000))]
    description: String,
    /// A first subscription, without filter and mapping, to these event types: short for an entry of `subscriptions`.
    #[oai(validator(min_items = 1, max_items = 100))]
    event_types: Option<Vec<String>>,
    /// The subscriptions that it starts with.
    #[serde(default)]
    #[oai(default, validator(max_items = 100))]
    subscriptions: Vec<InlineSubscription>,
    /// Whether deliveries are sent; what is matched while it is false waits.
    #[serde(default = "enabled_by_default")]
    #[oai(default = "enabled_by_default")]
    enabled: bool,
    /// Deadline of one attempt, milliseconds.
    #[serde(default = "default_timeout_ms")]
    #[oai(default = "default_timeout_ms", validator(minimum(value = "1000"), maximum(value = "60000")))]
    timeout_ms: u32,
    /// When failed deliveries are tried again; the schedule `standard` if not given.
    retry: Option<RetryJson>,
    /// How many deliveries it takes; as many as it answers if not given.
    rate_limit: Option<RateLimitJson>,
    /// Makes it ordered, by the events' ordering key; in any order if not given.
    ordering: Option<OrderingJson>,
    /// How requests are signed; as Standard Webhooks says if not given.
    signing: Option<SigningJson>,
    /// What the body is; the envelope if not given.
    body: Option<BodyJson>,
    /// Headers that are sent with every request, at most 20: name and value (4,096 bytes). Values are kept sealed and
    /// not shown again.
    #[serde(default)]
    #[oai(default)]
    headers: BTreeMap<String, Option<SecretJson>>,
    /// A client certificate for servers that ask for one. It is kept sealed and not shown again.
    client_certificate: Option<ClientCertificate>,
    /// Certificate authorities that are trusted instead of the deployment's: PEM.
    #[oai(validator(max_length = 65536))]
    ca: Option<String>,
    /// When nothing is sent.
    #[oai(validator(max_items = 20))]
    maintenance: Option<Vec<MaintenanceJson>>,
}

fn enabled_by_default() -> bool {
    true
}

fn default_timeout_ms() -> u32 {
    DEFAULT_TIMEOUT_MS
}

/// A subscription within an endpoint that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct InlineSubscription {
    /// The event types that it wants: exact (`order.created`), all below a prefix (`order.*`), or all (`*`).
    #[oai(validator(min_items = 1, max_items = 100))]
    event_types: Vec<String>,
    /// What must hold besides the type; everything matches if not given.
    filter: Option<FilterJson>,
    /// What is sent instead of the endpoint's usual request.
    mapping: Option<MappingJson>,
}

/// What of an endpoint is to be changed; what is not given stays.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointPatchInput {
    /// Its name.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: Option<String>,
    /// Where deliveries are posted.
    #[oai(validator(max_length = 2048))]
    url: Option<String>,
    /// What it is for.
    #[oai(validator(max_length = 2000))]
    description: Option<String>,
    /// Whether deliveries are sent.
    enabled: Option<bool>,
    /// Deadline of one attempt, milliseconds.
    #[oai(validator(minimum(value = "1000"), maximum(value = "60000")))]
    timeout_ms: Option<u32>,
    /// When failed deliveries are tried again.
    retry: Option<RetryJson>,
    /// How many deliveries it takes; null lifts the limit.
    #[serde(default)]
    rate_limit: MaybeUndefined<RateLimitJson>,
    /// Makes it ordered, by the events' ordering key; null ends that.
    #[serde(default)]
    ordering: MaybeUndefined<OrderingJson>,
    /// How requests are signed.
    signing: Option<SigningJson>,
    /// What the body is, of events that are matched from then on.
    body: Option<BodyJson>,
    /// Headers that change, by name: a value, or null to remove the header. Those that are not named stay, and so
    /// does one whose value is `********`.
    #[serde(default)]
    #[oai(default)]
    headers: BTreeMap<String, Option<SecretJson>>,
    /// A client certificate for servers that ask for one; null removes it.
    #[serde(default)]
    client_certificate: MaybeUndefined<ClientCertificate>,
    /// Certificate authorities that are trusted instead of the deployment's: PEM; null removes them.
    #[serde(default)]
    ca: MaybeUndefined<String>,
    /// When nothing is sent: replaces all that were given before.
    #[oai(validator(max_items = 20))]
    maintenance: Option<Vec<MaintenanceJson>>,
}

/// Why Postrider disabled an endpoint: `gone` (it answered 410), `failing` (it failed at least 20 times over at least
/// five days, without a success).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DisableReason", rename_all = "snake_case")]
enum Disabled {
    Gone,
    Failing,
}

impl From<DisableReason> for Disabled {
    fn from(reason: DisableReason) -> Self {
        match reason {
            DisableReason::Gone => Self::Gone,
            DisableReason::Failing => Self::Failing,
        }
    }
}

/// Where events are delivered.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Endpoint {
    /// Its id: `ep_` and 26 letters and digits.
    id: String,
    /// Its name.
    name: String,
    /// Where deliveries are posted. A key without the scope `endpoints:write` is shown `********` in the place of path
    /// and query: they may be a secret.
    url: String,
    /// What it is for.
    description: String,
    /// Whether deliveries are sent.
    enabled: bool,
    /// Why Postrider itself disabled it: null while it is enabled, and if it was disabled over the API. To enable it,
    /// to resume it, or to give it another URL ends that.
    disabled_reason: Option<Disabled>,
    /// When Postrider disabled it.
    disabled_at: Option<Time>,
    /// Deadline of one attempt, milliseconds.
    timeout_ms: u32,
    /// When failed deliveries are tried again.
    retry: RetryJson,
    /// Everything that has a default.
    #[oai(flatten)]
    settings: Settings,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}

/// An endpoint just made, with its signing secret.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct CreatedEndpoint {
    /// The endpoint.
    #[oai(flatten)]
    endpoint: Endpoint,
    /// The subscriptions that it starts with.
    subscriptions: Vec<Subscription>,
    /// The secret that signs its deliveries (Standard Webhooks). Shown in this answer only: keep it safe.
    secret: String,
}

impl Example for EndpointInput {
    fn example() -> Self {
        Self {
            name: "Order hook".to_owned(),
            url: "https://hooks.example.com/orders".to_owned(),
            description: "Tells the warehouse about orders".to_owned(),
            event_types: None,
            subscriptions: vec![InlineSubscription {
                event_types: vec!["order.*".to_owned()],
                filter: None,
                mapping: None,
            }],
            enabled: true,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            retry: Some(RetryJson(RetryPolicy::default())),
            rate_limit: None,
            ordering: None,
            signing: None,
            body: None,
            headers: BTreeMap::new(),
            client_certificate: None,
            ca: None,
            maintenance: None,
        }
    }
}

impl Example for EndpointPatchInput {
    fn example() -> Self {
        Self {
            name: None,
            url: Some("https://hooks.example.com/v2/orders".to_owned()),
            description: None,
            enabled: Some(true),
            timeout_ms: Some(10_000),
            retry: None,
            rate_limit: MaybeUndefined::Undefined,
            ordering: MaybeUndefined::Undefined,
            signing: None,
            body: None,
            headers: BTreeMap::new(),
            client_certificate: MaybeUndefined::Undefined,
            ca: MaybeUndefined::Undefined,
            maintenance: None,
        }
    }
}

impl Example for Endpoint {
    fn example() -> Self {
        Self {
            id: "ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            name: "Order hook".to_owned(),
            url: "https://hooks.example.com/orders".to_owned(),
            description: "Tells the warehouse about orders".to_owned(),
            enabled: true,
            disabled_reason: None,
            disabled_at: None,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            retry: RetryJson(RetryPolicy::default()),
            settings: Settings::example(),
            created_at: Time(Timestamp::from_millis(1_769_860_800_000)),
            updated_at: Time(Timestamp::from_millis(1_769_860_800_000)),
        }
    }
}

impl Example for CreatedEndpoint {
    fn example() -> Self {
        Self {
            endpoint: Endpoint::example(),
            subscriptions: vec![Subscription::example()],
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        }
    }
}

impl EndpointInput {
    /// Checks every value.
    pub(super) async fn check(self, state: &ApiState) -> Result<NewEndpoint, Problem> {
        let mut subscriptions = Vec::new();
        if let Some(texts) = &self.event_types {
            let event_types = validate::event_types("/event_types", texts)?;
            subscriptions.push(NewSubscription { event_types, filter: None, mapping: None });
        }
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            subscriptions.push(subscription.check(&format!("/subscriptions/{index}"))?);
        }
        if subscriptions.len() > MAX_PER_ENDPOINT {
            let detail = format!("at most {MAX_PER_ENDPOINT} subscriptions are allowed");
            return Err(Problem::field("/subscriptions", detail));
        }
        let settings = SettingsInput {
            rate_limit: MaybeUndefined::from_opt_undefined(self.rate_limit),
            ordering: MaybeUndefined::from_opt_undefined(self.ordering),
            signing: self.signing,
            body: self.body,
            headers: self.headers,
            client_certificate: MaybeUndefined::from_opt_undefined(self.client_certificate),
            ca: MaybeUndefined::from_opt_undefined(self.ca),
            maintenance: self.maintenance,
        };
        Ok(NewEndpoint {
            name: validate::name("/name", &self.name)?,
            description: validate::description("/description", self.description)?,
            enabled: self.enabled,
            timeout_ms: validate::timeout_ms("/timeout_ms", self.timeout_ms)?,
            retry: self.retry.map(|retry| retry.0).unwrap_or_default(),
            settings: settings.check(state.check_certificates)?,
            subscriptions,
            // Last: it may ask a name server.
            target: validate::url("/url", &self.url, state).await?,
        })
    }
}

impl InlineSubscription {
    fn check(&self, field: &str) -> Result<NewSubscription, Problem> {
        let (filter, mapping) = (self.filter.as_ref(), self.mapping.as_ref());
        Ok(NewSubscription {
            event_types: validate::event_types(&format!("{field}/event_types"), &self.event_types)?,
            filter: filter.map(|filter| validate::filter(&format!("{field}/filter"), filter)).transpose()?,
            mapping: mapping.map(|mapping| validate::mapping(&format!("{field}/mapping"), mapping)).transpose()?,
        })
    }
}

impl EndpointPatchInput {
    /// Checks every value.
    pub(super) async fn check(self, state: &ApiState) -> Result<EndpointPatch, Problem> {
        let timeout_ms = self.timeout_ms.map(|value| validate::timeout_ms("/timeout_ms", value)).transpose()?;
        let settings = SettingsInput {
            rate_limit: self.rate_limit,
            ordering: self.ordering,
            signing: self.signing,
            body: self.body,
            headers: self.headers,
            client_certificate: self.client_certificate,
            ca: self.ca,
            maintenance: self.maintenance,
        };
        Ok(EndpointPatch {
            name: self.name.map(|name| validate::name("/name", &name)).transpose()?,
            description: self.description.map(|text| validate::description("/description", text)).transpose()?,
            enabled: self.enabled,
            timeout_ms,
            retry: self.retry.map(|retry| retry.0),
            settings: settings.check(state.check_certificates)?,
            target: match self.url {
                Some(url) => Some(validate::url("/url", &url, state).await?),
                None => None,
            },
        })
    }
}

impl Endpoint {
    /// The answer for a row to whoever may read it: its URL is opened for those who may also change it.
    pub(super) fn read_by(caller: &Caller, row: EndpointRow, key_ring: &KeyRing) -> Result<Self, Problem> {
        let origin = format!("{}/{REDACTED}", row.origin);
        let whole = Self::of(row, key_ring)?;
        Ok(if caller.may(Scope::EndpointsWrite) { whole } else { Self { url: origin, ..whole } })
    }

    /// The answer for a row, its URL opened.
    pub(super) fn of(row: EndpointRow, key_ring: &KeyRing) -> Result<Self, Problem> {
        let url = manage::endpoints::url(key_ring, &row).map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            id: row.id.to_string(),
            name: row.name,
            url,
            description: row.description,
            enabled: row.enabled,
            disabled_reason: row.disabled.map(|disabled| disabled.reason.into()),
            disabled_at: row.disabled.map(|disabled| Time(disabled.at)),
            timeout_ms: row.timeout_ms,
            retry: RetryJson(row.retry),
            settings: row.settings.into(),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        })
    }
}

impl CreatedEndpoint {
    /// The answer for an endpoint just made.
    pub(super) fn of(created: manage::endpoints::CreatedEndpoint, key_ring: &KeyRing) -> Result<Self, Problem> {
        Ok(Self {
            endpoint: Endpoint::of(created.endpoint, key_ring)?,
            subscriptions: created.subscriptions.into_iter().map(Into::into).collect(),
            secret: created.secret.to_string(),
        })
    }
}
