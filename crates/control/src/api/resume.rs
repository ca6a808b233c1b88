//! What a request to resume an endpoint looks like.

use std::borrow::Cow;

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use postrider_domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    problem::Problem,
    schema::{Time, documented_type},
};
use crate::manage::endpoint_state::Held;

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
