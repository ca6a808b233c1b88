//! What is sent and answered about event types.

use std::borrow::Cow;

use poem_openapi::{
    Enum, Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, MaybeUndefined, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use postrider_domain::{
    Timestamp,
    event_type::{Catalogue, EventTypeSpec, ValidationMode},
    json_text::JsonText,
};
use postrider_postgres::event_types::EventTypeRow;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::schema::{RawJson, Time, documented_type};
use crate::manage::event_types::{ChangedType, EventTypePatch, Imported};

const EXAMPLE_TIME: Time = Time(Timestamp::from_millis(1_769_860_800_000));

/// What follows when an event's data does not fit the schema of its type: `off`: it is not looked at; `report`: it is
/// counted in a metric, shown in the log and delivered; `reject`: it goes to the rejected topic, with the place that
/// does not fit, and is refused (422) where it is published over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename = "ValidationMode", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Validation {
    Off,
    Report,
    Reject,
}

/// An event type that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct EventTypeInput {
    /// What events name: segments of letters, digits, `_` and `-`, separated by `.`, `/` or `:`. It can't be changed.
    #[oai(validator(min_length = 1, max_length = 256))]
    name: String,
    /// Under which heading it is listed; the name's first segment if not given.
    #[oai(validator(max_length = 64))]
    group: Option<String>,
    /// What it means, for those who subscribe to it.
    #[oai(validator(max_length = 2000))]
    description: Option<String>,
    /// A JSON Schema (2020-12) of its events' `data`, at most 64 KiB. `$ref` leads to its own parts only, as
    /// `#/$defs/money`; patterns have no look-around; formats such as `date-time` are checked.
    schema: Option<RawJson>,
    /// The `data` of such an event, as an example, at most 64 KiB; it must fit the schema.
    sample: Option<RawJson>,
    /// What follows when data does not fit the schema; `report` if not given.
    validation: Option<Validation>,
    /// Whether it is of the past: for those who list it. Its events are matched and validated all the same.
    archived: Option<bool>,
}

/// What of an event type is to be changed; what is not given stays.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct EventTypePatchInput {
    /// Under which heading it is listed.
    #[oai(validator(max_length = 64))]
    group: Option<String>,
    /// What it means.
    #[oai(validator(max_length = 2000))]
    description: Option<String>,
    /// The JSON Schema of its events' `data`; null removes it.
    #[serde(default)]
    schema: MaybeUndefined<RawJson>,
    /// An example of their `data`; null removes it.
    #[serde(default)]
    sample: MaybeUndefined<RawJson>,
    /// What follows when data does not fit the schema.
    validation: Option<Validation>,
    /// Whether it is of the past.
    archived: Option<bool>,
}

/// An event type of the catalogue.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct EventType {
    /// Its id: `ety_` and 26 letters and digits.
    id: String,
    /// What events name.
    name: String,
    /// Under which heading it is listed.
    group: String,
    /// What it means.
    description: String,
    /// The JSON Schema of its events' `data`.
    schema: Option<RawJson>,
    /// An example of their `data`.
    sample: Option<RawJson>,
    /// What follows when data does not fit the schema.
    validation: Validation,
    /// Whether it is of the past.
    archived: bool,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}

/// What an import did, or would do.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct ImportReport {
    /// Whether nothing was changed, because only a report was asked for.
    dry_run: bool,
    /// The names of the event types that were not there.
    created: Vec<String>,
    /// Those that were there and are different now.
    changed: Vec<ChangedEventType>,
    /// Of those that are as they were.
    unchanged: Vec<String>,
}

/// An event type that an import changed, or would change.
#[derive(Debug, Object)]
pub(super) struct ChangedEventType {
    /// Its name.
    name: String,
    /// What of it is different: `group`, `description`, `schema`, `sample`, `validation`, `archived`.
    fields: Vec<String>,
}

/// A document to import: a catalogue, or an `OpenAPI` document.
#[derive(Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct DocumentJson(pub Box<RawValue>);

/// A catalogue that was exported.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct CatalogueJson(pub Catalogue);

fn example_document() -> Value {
    let schema = json!({"type": "object", "required": ["order_id"], "properties": {"order_id": {"type": "string"}}});
    json!({"event_types": [{
        "name": "order.created",
        "group": "order",
        "description": "An order was placed.",
        "validation": "report",
        "schema": schema,
        "sample": {"order_id": "ord_1042"},
    }]})
}

documented_type!(
    DocumentJson,
    as "CatalogueDocument",
    MetaSchema {
        description: Some(
            "Either a catalogue, `{\"event_types\": [{\"name\", \"group\"?, \"description\"?, \"schema\"?, \"sample\"?, \
         \"validation\"?, \"archived\"?}]}`, or an OpenAPI 3.1 or 3.2 document, of which the `webhooks` are taken: their keys \
         as names, the operation's first tag as group, the request body's schema and example as schema and sample \
         of the event's `data`.",
        ),
        example: Some(example_document()),
        ..MetaSchema::new("object")
    }
);

documented_type!(
    CatalogueJson,
    as "Catalogue",
    MetaSchema {
        description: Some("Event types, as `POST /v1/event-types/import` and `postrider event-types import` take them."),
        example: Some(example_document()),
        ..MetaSchema::new("object")
    }
);

fn raw(json: &Value) -> RawJson {
    RawJson(to_raw_value(json).expect("a literal is JSON"))
}

fn example_schema() -> RawJson {
    raw(&json!({
        "type": "object",
        "required": ["order_id", "total"],
        "properties": {"order_id": {"type": "string"}, "total": {"type": "number", "minimum": 0}},
    }))
}

impl Example for EventTypeInput {
    fn example() -> Self {
        Self {
            name: "order.created".to_owned(),
            group: Some("order".to_owned()),
            description: Some("An order was placed.".to_owned()),
            schema: Some(example_schema()),
            sample: Some(raw(&json!({"order_id": "ord_1042", "total": 129.90}))),
            validation: Some(Validation::Report),
            archived: None,
        }
    }
}

impl Example for EventTypePatchInput {
    fn example() -> Self {
        Self {
            group: None,
            description: Some("An order was placed in the shop or by telephone.".to_owned()),
            schema: MaybeUndefined::Undefined,
            sample: MaybeUndefined::Undefined,
            validation: Some(Validation::Reject),
            archived: None,
        }
    }
}

impl Example for EventType {
    fn example() -> Self {
        Self {
            id: "ety_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            name: "order.created".to_owned(),
            group: "order".to_owned(),
            description: "An order was placed.".to_owned(),
            schema: Some(example_schema()),
            sample: Some(raw(&json!({"order_id": "ord_1042", "total": 129.90}))),
            validation: Validation::Report,
            archived: false,
            created_at: EXAMPLE_TIME,
            updated_at: EXAMPLE_TIME,
        }
    }
}

impl Example for ImportReport {
    fn example() -> Self {
        Self {
            dry_run: false,
            created: vec!["order.created".to_owned(), "order.paid".to_owned()],
            changed: vec![ChangedEventType {
                name: "order.cancelled".to_owned(),
                fields: vec!["schema".to_owned(), "sample".to_owned()],
            }],
            unchanged: Vec::new(),
        }
    }
}

impl From<Validation> for ValidationMode {
    fn from(validation: Validation) -> Self {
        match validation {
            Validation::Off => Self::Off,
            Validation::Report => Self::Report,
            Validation::Reject => Self::Reject,
        }
    }
}

impl From<ValidationMode> for Validation {
    fn from(mode: ValidationMode) -> Self {
        match mode {
            ValidationMode::Off => Self::Off,
            ValidationMode::Report => Self::Report,
            ValidationMode::Reject => Self::Reject,
        }
    }
}

impl From<EventTypeInput> for EventTypeSpec {
    fn from(input: EventTypeInput) -> Self {
        Self {
            name: input.name,
            group: input.group,
            description: input.description.unwrap_or_default(),
            validation: input.validation.map(Into::into),
            archived: input.archived,
            schema: input.schema.map(|json| json.0.into()),
            sample: input.sample.map(|json| json.0.into()),
        }
    }
}

impl From<EventTypePatchInput> for EventTypePatch {
    fn from(input: EventTypePatchInput) -> Self {
        let given = |json: MaybeUndefined<RawJson>| match json {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(json) => Some(Some(JsonText::from(json.0))),
        };
        Self {
            group: input.group,
            description: input.description,
            schema: given(input.schema),
            sample: given(input.sample),
            validation: input.validation.map(Into::into),
            archived: input.archived,
        }
    }
}

impl From<EventTypeRow> for EventType {
    fn from(row: EventTypeRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            group: row.group,
            description: row.description,
            schema: row.schema.map(|json| RawJson(json.into())),
            sample: row.sample.map(|json| RawJson(json.into())),
            validation: row.validation.into(),
            archived: row.archived,
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        }
    }
}

impl From<ChangedType> for ChangedEventType {
    fn from(changed: ChangedType) -> Self {
        Self { name: changed.name, fields: changed.fields.into_iter().map(str::to_owned).collect() }
    }
}

impl ImportReport {
    /// What an import came to.
    pub(super) fn new(imported: Imported, dry_run: bool) -> Self {
        let Imported { created, changed, unchanged } = imported;
        let changed = changed.into_iter().map(Into::into).collect();
        Self { dry_run, created, changed, unchanged }
    }
}
