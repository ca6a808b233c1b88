//! The body that is sent: the envelope of Standard Webhooks around the event's untouched data.

use bytes::Bytes;

use crate::Event;

/// The largest rendered body, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// A rendered body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub body: Bytes,
}

/// Renders an event, once for all its deliveries: JSON data as
/// `{"type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","data":…}` with the bytes of the data as
/// they came (`null` if there are none); other data as it is, with its own media type.
pub fn render(event: &Event) -> Rendered {
    if !is_json_content_type(&event.content_type) {
        return Rendered { content_type: event.content_type.clone(), body: event.data.clone() };
    }
    let event_type = serde_json::Value::from(event.event_type.as_str());
    let head = format!("{{\"type\":{event_type},\"timestamp\":\"{}\",\"data\":", event.time.to_rfc3339());
    let data: &[u8] = if event.data.is_empty() { b"null" } else { &event.data };
    let body = [head.as_bytes(), data, b"}"].concat();
    Rendered { content_type: "application/json".to_owned(), body: body.into() }
}

/// Whether a media type is JSON: `application/json`, `text/json` or any `…+json`, parameters aside.
pub fn is_json_content_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json")
        || (essence.contains('/') && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, SourceCoordinates, TenantId, Timestamp};

    fn event(content_type: &str, data: &'static str) -> Event {
        Event {
            id: EventId::from_trusted("id"),
            producer_id: None,
            source: "orders".into(),
            tenant: TenantId::from_trusted("ten_1"),
            event_type: "order.created".into(),
            time: Timestamp::from_millis(1_700_000_000_123),
            subject: None,
            ordering_key: None,
            data: Bytes::from_static(data.as_bytes()),
            previous: None,
            content_type: content_type.into(),
            coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
        }
    }

    #[test]
    fn json_data_is_embedded_byte_for_byte() {
        let rendered = render(&event("application/json; charset=utf-8", "{ \"total\": 1.10,\"é\" :1e400 }"));
        assert_eq!(rendered.content_type, "application/json");
        assert_eq!(
            rendered.body,
            "{\"type\":\"order.created\",\"timestamp\":\"2023-11-14T22:13:20.123Z\",\"data\":{ \"total\": 1.10,\"é\" :1e400 }}"
        );
    }

    #[test]
    fn absent_json_data_is_null_and_the_type_is_escaped() {
        let mut event = event("application/json", "");
        event.event_type = "a\"b".into();
        let body: serde_json::Value = serde_json::from_slice(&render(&event).body).unwrap();
        assert_eq!((&body["type"], &body["data"]), (&"a\"b".into(), &serde_json::Value::Null));
    }

    #[test]
    fn other_data_is_sent_as_it_is() {
        let rendered = render(&event("text/plain", "hello"));
        assert_eq!(rendered, Rendered { content_type: "text/plain".into(), body: Bytes::from_static(b"hello") });
    }

    #[test]
    fn json_media_types_are_recognised() {
        for json in ["application/json", "Application/JSON", "text/json;charset=utf-8", "application/vnd.x+json"] {
            assert!(is_json_content_type(json), "{json}");
        }
        for other in ["", "text/plain", "application/jsonl", "+json", "application/xml"] {
            assert!(!is_json_content_type(other), "{other}");
        }
    }
}
