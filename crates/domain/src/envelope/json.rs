//! JSON built around bytes that stay as they are.

use serde::Serialize;

use super::Rendered;
use crate::Event;

/// `{"type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","data":…}`.
pub(super) fn envelope(event: &Event) -> Rendered {
    object("application/json")
        .member("type", &event.event_type)
        .member("timestamp", &event.time.to_rfc3339())
        .raw("data", or_null(&event.data))
        .end()
}

/// `{"id","timestamp","event","teamId","data","previousData","metadata"}`.
pub(super) fn crm(event: &Event) -> Rendered {
    #[derive(Serialize)]
    struct Metadata<'a> {
        source: &'a str,
        subject: Option<&'a str>,
    }
    let metadata = Metadata { source: &event.source, subject: event.subject.as_deref() };
    object("application/json")
        .member("id", event.shown_id())
        .member("timestamp", &event.time.to_rfc3339())
        .member("event", &event.event_type)
        .member("teamId", event.tenant.as_str())
        .raw("data", or_null(&event.data))
        .raw("previousData", or_null(event.previous.as_deref().unwrap_or_default()))
        .member("metadata", &metadata)
        .end()
}

fn or_null(json: &[u8]) -> &[u8] {
    if json.is_empty() { b"null" } else { json }
}

/// Begins an object of this media type.
pub(super) fn object(content_type: &'static str) -> Object {
    Object { content_type, text: vec![b'{'] }
}

/// A JSON object, written member by member.
pub(super) struct Object {
    content_type: &'static str,
    text: Vec<u8>,
}

impl Object {
    /// Adds a member.
    pub(super) fn member(self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        let value = serde_json::to_vec(value).expect("texts and structs of texts are valid JSON");
        self.raw(name, &value)
    }

    /// Adds a member if it has a value.
    pub(super) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.member(name, value),
            None => self,
        }
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn raw(mut self, name: &str, value: &[u8]) -> Self {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        self.text.reserve(name.len() + value.len() + 4);
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        self.text.extend_from_slice(value);
        self
    }

    /// Ends the object.
    pub(super) fn end(mut self) -> Rendered {
        self.text.push(b'}');
        Rendered { content_type: self.content_type.to_owned(), headers: Vec::new(), body: self.text.into() }
    }
}
