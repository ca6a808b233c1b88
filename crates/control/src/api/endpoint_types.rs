//! What answers about endpoints look like.

use std::collections::BTreeMap;

use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::{Timestamp, retry::RetryPolicy, seal::KeyRing};
use postrider_postgres::{
    endpoint_activity::ActivityRow,
    endpoints::{DisabledReason, EndpointRow},
};

use super::{
    endpoint_setting_types::{SecretRotation, VerificationMethod},
    endpoint_settings::Settings,
    problem::Problem,
    schema::{RetryJson, Time},
    subscriptions::Subscription,
    validate::DEFAULT_TIMEOUT_MS,
};
use crate::{
    auth::{Caller, Scope},
    manage,
    secret_text::REDACTED,
};

/// Why an endpoint is disabled: `gone` (it answered 410), `failing` (it failed at least 20 times over at least five days,
/// without a success), `manual` (somebody disabled it), `unverified` (it has yet to show that it wants events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DisableReason", rename_all = "snake_case")]
pub(super) enum DisabledJson {
    Gone,
    Failing,
    Manual,
    Unverified,
}

impl From<DisabledReason> for DisabledJson {
    fn from(reason: DisabledReason) -> Self {
        match reason {
            DisabledReason::Gone => Self::Gone,
            DisabledReason::Failing => Self::Failing,
            DisabledReason::Manual => Self::Manual,
            DisabledReason::Unverified => Self::Unverified,
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
    /// Why it is disabled; null while it is enabled. What Postrider itself disabled is enabled again by enabling or
    /// resuming it, or by another URL.
    disabled_reason: Option<DisabledJson>,
    /// When it was disabled.
    disabled_at: Option<Time>,
    /// What was said when it was disabled.
    disabled_note: Option<String>,
    /// Deadline of one attempt, milliseconds.
    timeout_ms: u32,
    /// When failed deliveries are tried again.
    retry: RetryJson,
    /// Everything that has a default.
    #[oai(flatten)]
    settings: Settings,
    /// What its owner keeps with it.
    metadata: BTreeMap<String, String>,
    /// How it has to show that it wants events; null: it need not.
    verification: Option<VerificationMethod>,
    /// When it has shown that, at the URL that it has.
    verified_at: Option<Time>,
    /// How its signing secret changes by itself; null: it does not.
    secret_rotation: Option<SecretRotation>,
    /// When its signing secret changes next.
    secret_rotates_at: Option<Time>,
    /// What came of its deliveries, as far as the log has it by now.
    totals: Totals,
    /// The id of the API key that made it, or what else did; null if that was not kept.
    created_by: Option<String>,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}

/// What came of an endpoint's deliveries. Test sends do not count.
#[derive(Debug, Default, Object)]
#[oai(rename = "EndpointTotals")]
pub(super) struct Totals {
    /// How many attempts were made.
    attempts: u64,
    /// How many deliveries were delivered.
    delivered: u64,
    /// How many went to the dead-letter queue.
    dead_lettered: u64,
    /// When it was last tried.
    last_triggered_at: Option<Time>,
    /// When it last answered with 2xx.
    last_success_at: Option<Time>,
    /// The last attempt that failed.
    last_error: Option<LastErrorJson>,
}

/// An attempt that failed.
#[derive(Debug, Object)]
#[oai(rename = "EndpointLastError")]
struct LastErrorJson {
    /// Its error class.
    error: String,
    /// The status of the answer; null if there was none.
    status: Option<u16>,
    /// What failed, in words.
    message: Option<String>,
    /// When.
    at: Time,
}

impl From<ActivityRow> for Totals {
    fn from(row: ActivityRow) -> Self {
        let count = i64::unsigned_abs;
        Self {
            attempts: count(row.attempts),
            delivered: count(row.delivered),
            dead_lettered: count(row.dead_lettered),
            last_triggered_at: Some(Time(row.last_attempt_at)),
            last_success_at: row.last_success_at.map(Time),
            last_error: row.last_error.map(|error| LastErrorJson {
                error: error.class,
                status: error.status.and_then(|status| u16::try_from(status).ok()),
                message: error.message,
                at: Time(error.at),
            }),
        }
    }
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
    /// The secret that signs its deliveries (Standard Webhooks): keep it safe. Null if it is an ed25519 key, whose
    /// signatures are verified with `public_key`.
    secret: Option<String>,
    /// What receivers verify with, if the secret is an ed25519 key: `whpk_…`.
    public_key: Option<String>,
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
            disabled_note: None,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            retry: RetryJson(RetryPolicy::default()),
            settings: Settings::example(),
            metadata: BTreeMap::from([("team".to_owned(), "warehouse".to_owned())]),
            verification: None,
            verified_at: None,
            secret_rotation: None,
            secret_rotates_at: None,
            totals: Totals {
                attempts: 1_044,
                delivered: 1_042,
                last_triggered_at: Some(Time(Timestamp::from_millis(1_769_864_400_000))),
                last_success_at: Some(Time(Timestamp::from_millis(1_769_864_400_000))),
                ..Totals::default()
            },
            created_by: Some("key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned()),
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
            secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
            public_key: None,
        }
    }
}

impl Endpoint {
    /// The answer for a row to whoever may read it: its URL is opened for those who may also change it. Without totals,
    /// nothing was sent to it.
    pub(super) fn read_by(
        caller: &Caller,
        row: EndpointRow,
        totals: Option<ActivityRow>,
        key_ring: &KeyRing,
    ) -> Result<Self, Problem> {
        let origin = format!("{}/{REDACTED}", row.origin);
        let whole = Self::of(row, totals, key_ring)?;
        Ok(if caller.may(Scope::EndpointsWrite) { whole } else { Self { url: origin, ..whole } })
    }

    /// The answer for a row, its URL opened.
    pub(super) fn of(row: EndpointRow, totals: Option<ActivityRow>, key_ring: &KeyRing) -> Result<Self, Problem> {
        let url = manage::endpoints::url(key_ring, &row).map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            id: row.id.to_string(),
            name: row.name,
            url,
            description: row.description,
            enabled: row.enabled,
            disabled_reason: row.disabled.as_ref().map(|disabled| disabled.reason.into()),
            disabled_at: row.disabled.as_ref().map(|disabled| Time(disabled.at)),
            disabled_note: row.disabled.and_then(|disabled| disabled.note),
            timeout_ms: row.timeout_ms,
            retry: RetryJson(row.retry),
            settings: row.settings.into(),
            metadata: row.metadata,
            verification: row.verification.map(Into::into),
            verified_at: row.verified_at.map(Time),
            secret_rotation: row.rotation.map(|rotation| rotation.schedule.into()),
            secret_rotates_at: row.rotation.map(|rotation| Time(rotation.next_at)),
            totals: totals.map(Totals::from).unwrap_or_default(),
            created_by: row.created_by,
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        })
    }
}

impl CreatedEndpoint {
    /// The answer for an endpoint just made.
    pub(super) fn of(created: manage::endpoints::CreatedEndpoint, key_ring: &KeyRing) -> Result<Self, Problem> {
        Ok(Self {
            endpoint: Endpoint::of(created.endpoint, None, key_ring)?,
            subscriptions: created.subscriptions.into_iter().map(Into::into).collect(),
            secret: created.secret.text.map(|text| text.to_string()),
            public_key: created.secret.public_key,
        })
    }
}
