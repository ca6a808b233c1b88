//! An event type that events can be held against.

use std::sync::OnceLock;

use serde_json::Value;

use super::{EventSchema, EventType, InvalidSchema, ValidationMode, Violation};

/// An event type with its schema, compiled when an event of it first comes.
#[derive(Debug)]
pub struct CompiledEventType {
    event_type: EventType,
    schema: OnceLock<Result<EventSchema, InvalidSchema>>,
}

impl CompiledEventType {
    /// Nothing is compiled yet.
    pub fn new(event_type: EventType) -> Self {
        Self { event_type, schema: OnceLock::new() }
    }

    /// The type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// Where an event's data (none if it can't be parsed) does not fit; none if it fits, if there is no schema, or if
    /// its mode is `off`: then it is not parsed. Error: the schema can't be used (one of a version that knows more, as
    /// it was checked).
    pub fn violation<'d>(&self, data: impl FnOnce() -> Option<&'d Value>) -> Result<Option<Violation>, &InvalidSchema> {
        if self.event_type.validation == ValidationMode::Off {
            return Ok(None);
        }
        let Some(text) = &self.event_type.schema else { return Ok(None) };
        let schema = self.schema.get_or_init(|| EventSchema::compile(text)).as_ref()?;
        match data() {
            Some(data) => Ok(schema.violation(data)),
            None => Ok(Some(Violation {
                at: String::new(),
                schema_at: String::new(),
                message: "it is empty, not JSON, or nested over 128 deep".to_owned(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{EventTypeId, json_text::JsonText};

    fn compiled(schema: Option<&Value>, validation: ValidationMode) -> CompiledEventType {
        CompiledEventType::new(EventType {
            id: EventTypeId::from_trusted("ety_1"),
            name: "order.created".to_owned(),
            group: String::new(),
            description: String::new(),
            schema: schema.map(JsonText::from),
            validation,
            archived: false,
        })
    }

    fn message(compiled: &CompiledEventType, data: Option<&Value>) -> Option<String> {
        compiled.violation(|| data).unwrap().map(|found| found.to_string())
    }

    #[test]
    fn data_is_held_against_the_schema_unless_validation_is_off() {
        let schema = json!({"required": ["total"], "properties": {"total": {"type": "number"}}});
        let (bad, good) = (json!({"total": "12"}), json!({"total": 12}));
        for mode in [ValidationMode::Report, ValidationMode::Reject] {
            let compiled = compiled(Some(&schema), mode);
            let found = message(&compiled, Some(&bad)).unwrap();
            assert!(found.contains("at '/total' of the data, by '/properties/total/type'"), "{found}");
            assert_eq!(message(&compiled, Some(&good)), None);
            assert!(message(&compiled, None).unwrap().contains("not JSON"));
        }
        let unread = || -> Option<&Value> { panic!("it is parsed") };
        for unseen in [compiled(Some(&schema), ValidationMode::Off), compiled(None, ValidationMode::Reject)] {
            assert_eq!(unseen.violation(unread), Ok(None));
        }
    }

    #[test]
    fn a_schema_that_cant_be_used_is_said_to_be_so() {
        let compiled = compiled(Some(&json!({"type": "text"})), ValidationMode::Reject);
        assert!(compiled.violation(|| Some(&Value::Null)).is_err());
    }
}
