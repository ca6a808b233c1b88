//! The values of an endpoint's settings, as JSON and as the document shows them.

use std::{borrow::Cow, ops::RangeInclusive};

use poem_openapi::{
    Enum, Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use postrider_domain::{
    RateLimit,
    endpoint::{BodyStyle, HmacEncoding, MaintenanceWindow, Ordering, SigningStyle},
};
use postrider_postgres::endpoints::{RotationSchedule, Verification};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    problem::Problem,
    schema::{SecretJson, Time, documented_type},
};

/// How often a secret may change by itself.
const ROTATION_SECONDS: RangeInclusive<u32> = 3_600..=365 * 86_400;
/// How long a secret that is replaced signs at most.
pub(super) const MAX_GRACE_SECONDS: u32 = 7 * 86_400;
/// How long it does usually.
pub(super) const DEFAULT_GRACE_SECONDS: u32 = 86_400;

/// How many deliveries an endpoint takes, as the domain reads and writes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RateLimitJson(pub RateLimit);

/// That an endpoint is ordered, as the domain reads and writes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct OrderingJson(pub Ordering);

/// What the body is, as the domain reads and writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct BodyJson(pub BodyStyle);

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum SigningJson {
    Standard,
    XWebhook,
    Hmac {
        header: String,
        #[serde(default)]
        encoding: HmacEncoding,
    },
}

/// A time in which nothing is sent: what comes is held, and sent afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Object, Deserialize)]
#[oai(rename = "MaintenanceWindow", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct MaintenanceJson {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub until: Time,
    /// It comes again after each so many seconds, at least as many as it lasts; once if not given.
    pub every_seconds: Option<u32>,
}

/// A client certificate that is shown to servers that ask for one.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientCertificate {
    /// The certificate, followed by those that lead to an authority that the server trusts: PEM.
    #[oai(validator(max_length = 65536))]
    pub certificate: String,
    /// Its private key, without a passphrase: PEM.
    pub private_key: SecretJson,
}

/// How an endpoint shows that it wants events: `cloudevents` asks it by the `OPTIONS` request of CloudEvents' abuse
/// protection, `challenge` posts it a text that it has to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum VerificationMethod {
    Cloudevents,
    Challenge,
}

/// How a signing secret changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Object, Deserialize)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretRotation {
    /// After how many seconds, at least an hour and at most a year.
    #[oai(validator(minimum(value = "3600"), maximum(value = "31536000")))]
    pub every_seconds: u32,
    /// For how many seconds the secret before still signs: at most 7 days, and no longer than `every_seconds`.
    #[serde(default = "default_grace_seconds")]
    #[oai(default = "default_grace_seconds", validator(maximum(value = "604800")))]
    pub grace_seconds: u32,
}

fn default_grace_seconds() -> u32 {
    DEFAULT_GRACE_SECONDS
}

impl SecretRotation {
    /// Checks every value.
    pub(super) fn check(self, field: &str) -> Result<RotationSchedule, Problem> {
        let Self { every_seconds, grace_seconds } = self;
        if !ROTATION_SECONDS.contains(&every_seconds) {
            let detail = format!("must be {} to {} seconds", ROTATION_SECONDS.start(), ROTATION_SECONDS.end());
            return Err(Problem::field(format!("{field}/every_seconds"), detail));
        }
        if grace_seconds > MAX_GRACE_SECONDS.min(every_seconds) {
            let detail = format!("must be at most {MAX_GRACE_SECONDS} seconds, and no longer than 'every_seconds'");
            return Err(Problem::field(format!("{field}/grace_seconds"), detail));
        }
        Ok(RotationSchedule { every_seconds, grace_seconds })
    }
}

impl From<RotationSchedule> for SecretRotation {
    fn from(schedule: RotationSchedule) -> Self {
        Self { every_seconds: schedule.every_seconds, grace_seconds: schedule.grace_seconds }
    }
}

impl From<VerificationMethod> for Verification {
    fn from(method: VerificationMethod) -> Self {
        match method {
            VerificationMethod::Cloudevents => Self::Cloudevents,
            VerificationMethod::Challenge => Self::Challenge,
        }
    }
}

impl From<Verification> for VerificationMethod {
    fn from(method: Verification) -> Self {
        match method {
            Verification::Cloudevents => Self::Cloudevents,
            Verification::Challenge => Self::Challenge,
        }
    }
}

documented_type!(
    RateLimitJson,
    as "RateLimit",
    MetaSchema {
        description: Some(
            "How many deliveries are sent: `{\"per_second\": 10}`, `{\"per_minute\": 90}` or both, which are then both \
             kept; each may have a `burst`, how many may go at once after a rest. What comes faster waits.",
        ),
        properties: ["per_second", "per_minute", "burst"].map(|name| (name, u32::schema_ref())).into(),
        example: Some(json!({"per_second": 10, "burst": 20})),
        ..MetaSchema::new("object")
    }
);

documented_type!(
    OrderingJson,
    as "Ordering",
    MetaSchema {
        description: Some(
            "Deliveries of one ordering key are sent one at a time, in order. `on_exhausted` says what becomes of a key \
             whose delivery has used up its attempts: `skip` puts that one in the dead-letter queue and goes on, \
             `block` holds the key until the endpoint is enabled anew or the delivery is cancelled.",
        ),
        required: vec!["on_exhausted"],
        properties: vec![("on_exhausted", one_of(&["skip", "block"]))],
        example: Some(json!({"on_exhausted": "skip"})),
        ..MetaSchema::new("object")
    }
);

documented_type!(
    BodyJson,
    as "BodyStyle",
    MetaSchema {
        description: Some(
            "What the body is: `envelope` is `{\"type\", \"timestamp\", \"data\"}` around the untouched data; \
             `cloudevents_structured` and `cloudevents_binary` are the modes of CloudEvents 1.0; `crm` is `{\"id\", \
             \"timestamp\", \"event\", \"teamId\", \"data\", \"previousData\", \"metadata\"}`; `raw` is the data alone.",
        ),
        enum_items: ["envelope", "cloudevents_structured", "cloudevents_binary", "crm", "raw"].map(Value::from).into(),
        example: Some(json!("envelope")),
        ..MetaSchema::new("string")
    }
);

documented_type!(
    SigningJson,
    as "SigningStyle",
    MetaSchema {
        description: Some(
            "How requests are signed; `webhook-id` is always sent. `\"standard\"`: as Standard Webhooks 1.0.0 says. \
             `\"x_webhook\"`: `X-Webhook-ID` (the endpoint's id), `X-Webhook-Timestamp` (ISO 8601), \
             `X-Webhook-Signature: v1=<hex>` over `timestamp.body`, `X-Webhook-Signature-Timestamp` (Unix seconds). \
             `{\"hmac\": {\"header\": \"X-Signature\", \"encoding\": \"hex\"}}`: HMAC-SHA256 of the body alone, in a \
             header of your choice, as `hex` (lower case) or `base64`.",
        ),
        any_of: vec![
            one_of(&["standard", "x_webhook"]),
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                required: vec!["hmac"],
                properties: vec![(
                    "hmac",
                    MetaSchemaRef::Inline(Box::new(MetaSchema {
                        required: vec!["header"],
                        properties: vec![
                            ("header", String::schema_ref()),
                            ("encoding", one_of(&["hex", "base64"])),
                        ],
                        ..MetaSchema::new("object")
                    })),
                )],
                ..MetaSchema::new("object")
            })),
        ],
        example: Some(json!("standard")),
        ..MetaSchema::ANY
    }
);

/// One of some words.
fn one_of(words: &[&str]) -> MetaSchemaRef {
    let enum_items = words.iter().map(|word| json!(word)).collect();
    MetaSchemaRef::Inline(Box::new(MetaSchema { enum_items, ..MetaSchema::new("string") }))
}

impl From<SigningStyle> for SigningJson {
    fn from(signing: SigningStyle) -> Self {
        match signing {
            SigningStyle::Standard => Self::Standard,
            SigningStyle::XWebhook => Self::XWebhook,
            SigningStyle::Hmac { header, encoding } => Self::Hmac { header, encoding },
        }
    }
}

impl From<SigningJson> for SigningStyle {
    fn from(signing: SigningJson) -> Self {
        match signing {
            SigningJson::Standard => Self::Standard,
            SigningJson::XWebhook => Self::XWebhook,
            SigningJson::Hmac { header, encoding } => Self::Hmac { header, encoding },
        }
    }
}

impl From<&MaintenanceWindow> for MaintenanceJson {
    fn from(window: &MaintenanceWindow) -> Self {
        Self { from: Time(window.from), until: Time(window.until), every_seconds: window.every_seconds }
    }
}
