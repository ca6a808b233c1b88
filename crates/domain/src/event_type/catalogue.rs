//! Catalogues: many event types in one document.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use serde_path_to_error::Segment;

use super::{EventTypeSpec, bounds::join, openapi};

/// Event types as a document has them: `{"name"?, "description"?, "event_types": […]}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// What it is called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whose events they are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The types, each once.
    pub event_types: Vec<EventTypeSpec>,
}

/// Why a document can't be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCatalogue {
    /// Where, as a JSON pointer into the document.
    pub at: String,
    /// What is wrong, and what to do.
    pub why: String,
}

impl fmt::Display for InvalidCatalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, why } = self;
        if at.is_empty() { f.write_str(why) } else { write!(f, "{at}: {why}") }
    }
}

impl std::error::Error for InvalidCatalogue {}

impl InvalidCatalogue {
    pub(super) fn new(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at: at.into(), why: why.into() }
    }
}

impl Catalogue {
    /// Reads a catalogue, or the `webhooks` of an OpenAPI document, and checks every type in it.
    pub fn read(text: &str) -> Result<Self, InvalidCatalogue> {
        let members: HashMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(|error| {
            InvalidCatalogue::new("", format!("the document is not a JSON object (YAML is not read): {error}"))
        })?;
        if members.contains_key("openapi") {
            let document: Value = serde_json::from_str(text)
                .map_err(|error| InvalidCatalogue::new("", format!("the document can't be read: {error}")))?;
            return openapi::read(&document);
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let catalogue: Self = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let at = error.path().iter().fold(String::new(), |at, segment| match segment {
                Segment::Seq { index } => format!("{at}/{index}"),
                Segment::Map { key } => join(&at, key),
                Segment::Enum { .. } | Segment::Unknown => at,
            });
            InvalidCatalogue::new(at, error.inner().to_string())
        })?;
        let places: Vec<String> =
            (0..catalogue.event_types.len()).map(|index| format!("/event_types/{index}")).collect();
        catalogue.checked(&places)
    }

    /// The catalogue, if every type (each from its place in the document) is good and there once.
    pub(super) fn checked(self, places: &[String]) -> Result<Self, InvalidCatalogue> {
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for (spec, place) in self.event_types.iter().zip(places) {
            spec.check().map_err(|error| InvalidCatalogue::new(format!("{place}{}", error.at), error.why))?;
            if let Some(first) = seen.insert(&spec.name, place) {
                let why = format!("'{}' is there already, at {first}", spec.name);
                return Err(InvalidCatalogue::new(format!("{place}/name"), why));
            }
        }
        Ok(self)
    }

    /// The document, for people to read and [`Catalogue::read`] to take.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a catalogue is JSON")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_exported_can_be_imported() {
        let text = json!({"name": "shop", "event_types": [
            {"name": "order.created", "description": "One.", "schema": {"type": "object"}, "sample": {"b": 1, "a": 2}},
            {"name": "order.paid", "group": "money", "validation": "reject", "archived": true},
        ]});
        let catalogue = Catalogue::read(&text.to_string()).unwrap();
        assert_eq!(catalogue.event_types.len(), 2);
        assert_eq!(Catalogue::read(&catalogue.to_json()).unwrap(), catalogue);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        let of = |types: Value| json!({"event_types": types}).to_string();
        let table = [
            ("[]".to_owned(), "", "object"),
            ("{".to_owned(), "", "object"),
            ("{}".to_owned(), "", "event_types"),
            (of(json!([{"name": 1}])), "/event_types/0/name", "string"),
            (of(json!([{"name": "a"}, {}])), "/event_types/1", "name"),
            (of(json!([{"name": "a", "colour": 1}])), "/event_types/0/colour", "colour"),
            (of(json!([{"name": "a", "validation": "warn"}])), "/event_types/0/validation", "report"),
            (of(json!([{"name": "a", "schema": {"type": 1}}])), "/event_types/0/schema/type", ""),
            (of(json!([{"name": "a"}, {"name": "b"}, {"name": "a"}])), "/event_types/2/name", "/event_types/0"),
        ];
        for (text, at, why) in table {
            let error = Catalogue::read(&text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.why.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\{\"(openapi|event_types|webhooks)\":)?.*") {
            let _ = Catalogue::read(&text);
        }
    }
}
