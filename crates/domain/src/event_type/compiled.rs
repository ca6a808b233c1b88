//! An event type that events can be held against.

use std::sync::OnceLock;

use super::{EventSchema, EventType, InvalidSchema, ValidationMode, Violation};
use crate::filter::EventView;

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

    /// Where the event's data does not fit; none if it fits, if there is no schema, or if its mode is `off`: then the
    /// data is not looked at. Error: the schema can't be used (one of a version that knows more, as it was checked).
    pub fn violation(&self, event: &EventView<'_>) -> Result<Option<Violation>, &InvalidSchema> {
        if self.event_type.validation == ValidationMode::Off {
            return Ok(None);
        }
        let Some(text) = &self.event_type.schema else { return Ok(None) };
        let schema = self.schema.get_or_init(|| EventSchema::compile(text)).as_ref()?;
        match event.data() {
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
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::{Event, EventId, EventTypeId, SourceCoordinates, TenantId, Timestamp, json_text::JsonText};

    fn event(content_type: &str, data: &str) -> Event {
        Event {
            id: EventId::from_trusted("e"),
            producer_id: None,
            source: "shop".to_owned(),
            tenant: TenantId::from_trusted("ten_1"),
            event_type: "order.created".to_owned(),
            time: Timestamp::EPOCH,
            subject: None,
            ordering_key: None,
            data: Bytes::copy_from_slice(data.as_bytes()),
            previous: None,
            content_type: content_type.to_owned(),
            coordinates: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 0 },
        }
    }

    fn compiled(schema: Option<&serde_json::Value>, validation: ValidationMode) -> CompiledEventType {
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

    fn message(compiled: &CompiledEventType, event: &Event) -> Option<String> {
        compiled.violation(&EventView::new(event)).unwrap().map(|found| found.to_string())
    }

    #[test]
    fn data_is_held_against_the_schema_unless_validation_is_off() {
        let schema = json!({"required": ["total"], "properties": {"total": {"type": "number"}}});
        let bad = event("application/json", r#"{"total": "12"}"#);
        for mode in [ValidationMode::Report, ValidationMode::Reject] {
            let compiled = compiled(Some(&schema), mode);
            let found = message(&compiled, &bad).unwrap();
            assert!(found.contains("at '/total' of the data, by '/properties/total/type'"), "{found}");
            assert_eq!(message(&compiled, &event("application/json", r#"{"total": 12}"#)), None);
            assert!(message(&compiled, &event("text/plain", "12")).unwrap().contains("not JSON"));
        }
        assert_eq!(message(&compiled(Some(&schema), ValidationMode::Off), &bad), None);
        assert_eq!(message(&compiled(None, ValidationMode::Reject), &event("text/plain", "12")), None);
    }

    #[test]
    fn a_schema_that_cant_be_used_is_said_to_be_so() {
        let compiled = compiled(Some(&json!({"type": "text"})), ValidationMode::Reject);
        assert!(compiled.violation(&EventView::new(&event("application/json", "1"))).is_err());
    }
}
