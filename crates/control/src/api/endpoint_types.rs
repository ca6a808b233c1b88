//! What answers about endpoints look like.

use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::{Timestamp, endpoint_state::DisableReason, retry::RetryPolicy, seal::KeyRing};
use postrider_postgres::endpoints::EndpointRow;

use super::{
    endpoint_settings::Settings,
    problem::Problem,
    schema::{RetryJson, Time},
    subscriptions::Subscription,
    validate::DEFAULT_TIMEOUT_MS,
};
use crate::manage;

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
    /// Where deliveries are posted.
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

impl Endpoint {
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
