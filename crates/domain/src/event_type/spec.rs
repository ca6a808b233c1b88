//! An event type before it is one: what people write, and whether it can be taken.

use serde::{Deserialize, Serialize};

use super::{EventSchema, ValidationMode, schema::InvalidSchema};
use crate::{json_text::JsonText, pattern::validate_event_type};

/// The largest schema, and the largest sample, in bytes.
pub const MAX_JSON_BYTES: usize = 64 * 1024;
const MAX_GROUP_CHARACTERS: usize = 64;
const MAX_DESCRIPTION_CHARACTERS: usize = 2_000;
const UNREADABLE: &str = "is nested over 128 deep, or has an escape that is no character, as '\\ud800'";

/// All that is written of an event type. In JSON as a catalogue has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTypeSpec {
    /// What events name, as `order.created`.
    pub name: String,
    /// Under which heading it is listed; if not given, as it is, and the name's first segment for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it means, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What follows when data does not fit the schema; if not given, as it is, and `report` for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationMode>,
    /// Whether it is of the past; if not given, as it is, and not for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// The JSON Schema of its events' data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonText>,
    /// The data of such an event, as an example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<JsonText>,
}

/// Why an event type can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct InvalidSpec {
    /// Which value, as a JSON pointer into the event type.
    pub at: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

impl EventTypeSpec {
    /// Its heading, if it is a new one.
    pub fn group(&self) -> &str {
        let first = || self.name.split(['.', '/', ':']).next().unwrap_or_default();
        self.group.as_deref().unwrap_or_else(first)
    }

    /// Checks every value, and the sample against the schema.
    pub fn check(&self) -> Result<(), InvalidSpec> {
        let invalid = |at: &str, why: String| InvalidSpec { at: at.to_owned(), why };
        validate_event_type(&self.name).map_err(|error| invalid("/name", error.to_string()))?;
        text(self.group(), MAX_GROUP_CHARACTERS, &[]).map_err(|why| invalid("/group", why))?;
        text(&self.description, MAX_DESCRIPTION_CHARACTERS, &['\n', '\r', '\t'])
            .map_err(|why| invalid("/description", why))?;
        let schema = self.schema.as_ref().map(EventSchema::compile).transpose();
        let schema = schema.map_err(|InvalidSchema { at, why }| invalid(&format!("/schema{at}"), why))?;
        let Some(sample) = &self.sample else { return Ok(()) };
        let bytes = sample.as_str().len();
        if bytes > MAX_JSON_BYTES {
            return Err(invalid("/sample", format!("has {bytes} bytes, at most {MAX_JSON_BYTES} are allowed")));
        }
        let Some(data) = sample.value() else { return Err(invalid("/sample", UNREADABLE.to_owned())) };
        match schema.and_then(|schema| schema.violation(&data)) {
            Some(found) => Err(invalid(
                &format!("/sample{}", found.at),
                format!("the sample does not fit its schema, by '{}': {}", found.schema_at, found.message),
            )),
            None => Ok(()),
        }
    }
}

fn text(text: &str, max_characters: usize, breaks: &[char]) -> Result<(), String> {
    let characters = text.chars().count();
    if characters > max_characters {
        return Err(format!("has {characters} characters, at most {max_characters} are allowed"));
    }
    if text.chars().any(|character| character.is_control() && !breaks.contains(&character)) {
        return Err("must not have control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(json: &Value) -> EventTypeSpec {
        serde_json::from_str(&json.to_string()).unwrap()
    }

    #[test]
    fn only_a_name_is_needed_and_the_group_is_its_first_segment() {
        let spec = spec(&json!({"name": "com.example/order"}));
        assert_eq!(spec.check(), Ok(()));
        assert_eq!((spec.group(), spec.validation, spec.archived), ("com", None, None));
    }

    #[test]
    fn every_value_is_checked_and_named() {
        let number = json!({"type": "object", "properties": {"a/b": {"type": "number"}}});
        let table = [
            (json!({"name": "order created"}), "/name"),
            (json!({"name": "a", "group": "x".repeat(65)}), "/group"),
            (json!({"name": "a", "group": "x\ny"}), "/group"),
            (json!({"name": "a", "description": "x".repeat(2_001)}), "/description"),
            (json!({"name": "a", "schema": []}), "/schema"),
            (json!({"name": "a", "schema": {"type": "text"}}), "/schema/type"),
            (json!({"name": "a", "schema": {"$ref": "https://example.com/x"}}), "/schema/$ref"),
            (json!({"name": "a", "sample": "x".repeat(MAX_JSON_BYTES)}), "/sample"),
            (json!({"name": "a", "schema": number, "sample": {"a/b": "1"}}), "/sample/a~1b"),
        ];
        for (json, at) in table {
            assert_eq!(spec(&json).check().unwrap_err().at, at, "{json:.200}");
        }
        let good = json!({"name": "a", "description": "x\ny", "schema": number, "sample": {"a/b": 1}});
        assert_eq!(spec(&good).check(), Ok(()));
    }
}
