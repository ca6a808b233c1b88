//! What requests and answers about an endpoint's settings look like.

use std::borrow::Cow;

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, MaybeUndefined, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use postrider_domain::{
    RateLimit, Timestamp,
    endpoint::{EndpointSettings, Ordering},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    problem::Problem,
    schema::{Time, documented_type},
};
use crate::manage::{endpoint_settings::SettingsPatch, endpoints::Held};

/// How many deliveries an endpoint takes, as the domain reads and writes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RateLimitJson(pub RateLimit);

/// That an endpoint is ordered, as the domain reads and writes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct OrderingJson(pub Ordering);

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
        properties: vec![(
            "on_exhausted",
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                enum_items: vec![json!("skip"), json!("block")],
                ..MetaSchema::new("string")
            })),
        )],
        example: Some(json!({"on_exhausted": "skip"})),
        ..MetaSchema::new("object")
    }
);

/// What of an endpoint's settings a request names.
#[derive(Debug)]
pub(super) struct SettingsInput {
    pub rate_limit: MaybeUndefined<RateLimitJson>,
    pub ordering: MaybeUndefined<OrderingJson>,
}

impl SettingsInput {
    /// Checks every value.
    pub(super) fn check(self) -> SettingsPatch {
        SettingsPatch {
            rate_limit: named(self.rate_limit).map(|limit| limit.map(|limit| limit.0)),
            ordering: named(self.ordering).map(|ordering| ordering.map(|ordering| ordering.0)),
        }
    }
}

/// What a field says, if it is there.
fn named<T>(field: MaybeUndefined<T>) -> Option<Option<T>> {
    match field {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// The settings within an endpoint's answer.
#[derive(Debug, Object)]
pub(super) struct Settings {
    /// Whether it was paused: what comes for it is held until it is resumed.
    paused: bool,
    /// What was matched before this was skipped when the endpoint was resumed.
    skip_before: Option<Time>,
    /// How many deliveries it takes; null: as many as it answers.
    rate_limit: Option<RateLimitJson>,
    /// Whether deliveries of one ordering key are sent in order; null: they are not.
    ordering: Option<OrderingJson>,
}

impl From<&EndpointSettings> for Settings {
    fn from(settings: &EndpointSettings) -> Self {
        Self {
            paused: settings.paused,
            skip_before: settings.skip_before.map(Time),
            rate_limit: settings.rate_limit.map(RateLimitJson),
            ordering: settings.ordering.map(OrderingJson),
        }
    }
}

/// How an endpoint is resumed.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeInput {
    /// What becomes of what was held: all of it is delivered if not given.
    #[serde(default)]
    #[oai(default)]
    held: HeldJson,
}

/// What becomes of what was held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HeldJson {
    #[default]
    All,
    None,
    Since(Time),
}

documented_type!(
    HeldJson,
    as "Held",
    MetaSchema {
        description: Some(
            "`\"all\"` that was held is delivered, `\"none\"` of it, or what was matched at a time or later: \
             `{\"since\": \"2026-01-31T12:00:00Z\"}`. The rest is skipped for good, with a record of it in the log.",
        ),
        any_of: vec![
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                enum_items: vec![json!("all"), json!("none")],
                ..MetaSchema::new("string")
            })),
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                required: vec!["since"],
                properties: vec![("since", Time::schema_ref())],
                ..MetaSchema::new("object")
            })),
        ],
        example: Some(json!("all")),
        ..MetaSchema::ANY
    }
);

impl ResumeInput {
    /// Checks it at `now` in broker time.
    pub(super) fn check(&self, now: Timestamp) -> Result<Held, Problem> {
        match self.held {
            HeldJson::All => Ok(Held::Delivered),
            HeldJson::None => Ok(Held::SkippedBefore(now)),
            HeldJson::Since(Time(since)) if since > now => {
                Err(Problem::field("/held/since", "must not be in the future; \"none\" skips all that is held by now"))
            }
            HeldJson::Since(Time(since)) => Ok(Held::SkippedBefore(since)),
        }
    }
}

impl Example for ResumeInput {
    fn example() -> Self {
        Self { held: HeldJson::Since(Time(Timestamp::from_millis(1_769_860_800_000))) }
    }
}

impl Settings {
    /// The settings of an example.
    pub(super) fn example() -> Self {
        let limit = RateLimit::new(Some(10), None, Some(20)).expect("the limits allow it");
        Self { rate_limit: Some(RateLimitJson(limit)), ..Self::from(&EndpointSettings::default()) }
    }
}
