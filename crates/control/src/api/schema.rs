//! Types of the API that are not plain objects: domain values that bring their own JSON.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use postrider_domain::{Timestamp, retry::RetryPolicy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value, json, value::RawValue};

use crate::secret_text::SecretText;

/// A point in time, RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a time: expected RFC 3339, as 2026-01-31T12:00:00Z"))
    }
}

impl ParseFromParameter for Time {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let time = Timestamp::parse_rfc3339(value).map(Self);
        time.ok_or_else(|| ParseError::custom("not a time: expected RFC 3339, as 2026-01-31T12:00:00Z"))
    }
}

/// A retry policy, as the domain reads and writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RetryJson(pub RetryPolicy);

/// A filter before it is checked, or after: checking names the offending condition by its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FilterJson(pub Value);

/// A mapping before it is checked, or after: checking names the offending expression by its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct MappingJson(pub Value);

/// JSON that is passed on to the byte.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RawJson(pub Box<RawValue>);

/// What is taken and never shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretJson(pub SecretText);

/// Makes a type with serde's JSON known to the document: in place, or under a name of its own (`as`), which keeps
/// its description where a field has another.
macro_rules! documented_type {
    ($name:ident, as $title:literal, $schema:expr) => {
        documented_type!($name, $title, MetaSchemaRef::Reference($title.to_owned()), |registry: &mut Registry| {
            registry.create_schema::<Self, _>($title.to_owned(), |_| $schema);
        });
    };
    ($name:ident, $title:literal, $schema:expr) => {
        documented_type!($name, $title, MetaSchemaRef::Inline(Box::new($schema)), |_: &mut Registry| {});
    };
    ($name:ident, $title:literal, $reference:expr, $register:expr) => {
        impl Type for $name {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $title.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                $reference
            }

            fn register(registry: &mut Registry) {
                $register(registry);
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                serde_json::from_value(value.unwrap_or_default()).map_err(ParseError::custom)
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                serde_json::to_value(self).ok()
            }
        }
    };
}

pub(super) use documented_type;

documented_type!(
    Time,
    "string_date-time",
    MetaSchema {
        description: Some("RFC 3339, to the millisecond."),
        example: Some(json!("2026-01-31T12:00:00.000Z")),
        ..MetaSchema::new_with_format("string", "date-time")
    }
);

documented_type!(
    RetryJson,
    as "RetryPolicy",
    MetaSchema {
        description: Some(
            "When a failed delivery is tried again. One of: `{\"schedule\": \"standard\"}` (5s, 5m, 30m, 2h, 5h, 10h, \
         14h, 20h, 24h) or `\"fast\"` (1s, 5s, 15s, 1m, 5m); `{\"delays_seconds\": [5, 60, 3600]}`, up to 50; \
         `{\"exponential\": {\"initial_seconds\": 5, \"factor\": 2.0, \"max_seconds\": 3600, \"retries\": 5}}`. \
         Each may have `max_age_seconds`, counted from the first attempt.",
        ),
        example: Some(json!({"schedule": "standard"})),
        ..MetaSchema::new("object")
    }
);

documented_type!(
    FilterJson,
    as "Filter",
    MetaSchema {
        description: Some(
            "What must hold of an event besides its type: a condition `{\"field\", \"operator\", \"value\"}`, or `all`, \
         `any` (lists) or `not` over such. Fields are dotted paths (`data.total`) or JSON pointers (`/data/total`) \
         into `data` or `previous`, or event attributes (`type`, `subject`, `source`, `id`, `time`, `tenant`). \
         Operators: `equals`, `not_equals`, `contains`, `starts_with`, `greater_than`, `greater_than_or_equal`, \
         `less_than`, `less_than_or_equal`, `in`, `exists`, `regex`, `changed`.",
        ),
        example: Some(json!({"all": [{"field": "data.total", "operator": "greater_than", "value": 100}]})),
        ..MetaSchema::new("object")
    }
);

documented_type!(
    MappingJson,
    as "Mapping",
    MetaSchema {
        description: Some(
            "The request that is sent instead of the endpoint's usual one: `body` (JSON; without it the endpoint's own \
         body style is sent), `headers` (by name), `path` (a list of parts that are appended to the URL's path) and \
         `method` (`POST`, `PUT` or `PATCH`), at least one of them. All but the method are made of expressions: \
         constants; fields, written `\"$.data.email\"`; `{\"$path\": \"data.email\", \"$default\": null, \"$optional\": \
         true, \"$format\": \"lowercase\"}` with a default or `$optional` (left out where the field is missing or \
         null) and a format: `string`, `number`, `boolean`, `lowercase`, `uppercase`, `iso8601`, `unix_seconds`, \
         `unix_milliseconds`, `unix_microseconds`, `sha256`, `uuid` or `{\"join\": \", \"}`; `{\"$text\": \"Order {data.id}\"}`; `{\"$each\": \
         \"data.items\", \"$do\": {\"sku\": \"$.item.sku\"}}` for lists; `{\"$const\": …}` for JSON as it is; lists and \
         objects of expressions, where `$$name` stands for a member `$name`. A delivery whose event can't be mapped \
         goes to the dead-letter queue as `mapping_failed`, and nothing of it is sent.",
        ),
        example: Some(example_mapping()),
        ..MetaSchema::new("object")
    }
);

/// Sets a contact's state in a CRM.
pub(crate) fn example_mapping() -> Value {
    json!({
        "method": "PATCH",
        "path": ["contacts", {"$path": "data.customer.email", "$format": "lowercase"}],
        "headers": {"X-Order": "$.data.id"},
        "body": {
            "properties": {"last_order": "$.data.id", "stage": {"$path": "data.stage", "$default": "customer"}},
            "items": {"$each": "data.items", "$do": {"sku": "$.item.sku"}}
        }
    })
}

documented_type!(
    RawJson,
    "any",
    MetaSchema {
        description: Some("Any JSON; passed on byte for byte."),
        example: Some(json!({"order_id": "ord_1042", "total": 129.90})),
        ..MetaSchema::ANY
    }
);

documented_type!(
    SecretJson,
    "string_password",
    MetaSchema { write_only: true, ..MetaSchema::new_with_format("string", "password") }
);
