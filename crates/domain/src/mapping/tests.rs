//! Mappings against tables, and what holds of all of them, whatever is written in them and whatever comes.

mod fuzz;
mod rendering;
mod writing;

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::{Event, EventId, SourceCoordinates, TenantId, Timestamp, filter::EventView};

fn event(data: impl Into<Bytes>) -> Event {
    Event {
        id: EventId::from_trusted("id,6:orders,-,1:1"),
        producer_id: Some("evt-1".into()),
        source: "orders".into(),
        tenant: TenantId::from_trusted("ten_1"),
        event_type: "order.updated".into(),
        time: Timestamp::from_millis(1_700_000_000_000),
        subject: None,
        ordering_key: None,
        data: data.into(),
        previous: Some(Bytes::from_static(br#"{"status": "open"}"#)),
        content_type: "application/json".into(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
    }
}

fn parsed(mapping: &str) -> Mapping {
    serde_json::from_str(mapping).unwrap_or_else(|error| panic!("{mapping}: {error}"))
}

fn rendered(mapping: &str, data: &str) -> Result<Mapped, MappingError> {
    parsed(mapping).render(&EventView::new(&event(data.to_owned())))
}

/// The body that an expression comes to.
fn body(expression: &str, data: &str) -> Result<String, String> {
    let mapped = rendered(&format!(r#"{{"body": {expression}}}"#), data);
    let body = |mapped: Mapped| String::from_utf8(mapped.body.unwrap().to_vec()).unwrap();
    mapped.map(body).map_err(|error| error.to_string())
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(Value::from(1), |inner, _| Value::Array(vec![inner]))
}
