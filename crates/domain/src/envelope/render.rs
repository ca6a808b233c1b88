//! From an event to a body, in the style that an endpoint asks for.

use bytes::Bytes;

use super::{cloudevents, json};
use crate::{Event, delivery::Header, endpoint::BodyStyle};

/// The largest rendered body, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// A rendered body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its media type.
    pub content_type: String,
    /// Headers that belong to it.
    pub headers: Vec<Header>,
    /// Its bytes.
    pub body: Bytes,
}

impl Rendered {
    /// The data alone, with its own media type.
    pub(super) fn data_of(event: &Event) -> Self {
        Self { content_type: event.content_type.clone(), headers: Vec::new(), body: event.data.clone() }
    }
}

/// Renders an event, once for all its deliveries in this style. Bytes of the data are never changed.
///
/// | style | JSON data | other data |
/// |---|---|---|
/// | [`BodyStyle::Envelope`] | `{"type","timestamp","data"}` | as they are |
/// | [`BodyStyle::Crm`] | `{"id","timestamp","event","teamId","data","previousData","metadata":{"source","subject"}}` | as they are |
/// | [`BodyStyle::CloudeventsStructured`] | `application/cloudevents+json` with `data` | the same with `data_base64` |
/// | [`BodyStyle::CloudeventsBinary`] | as they are, attributes in headers `ce-…` | the same |
/// | [`BodyStyle::Raw`] | as they are | as they are |
///
/// Data that an envelope can't hold go as they are, with their own media type. Absent JSON data are `null` in
/// the envelopes, and absent from a structured `CloudEvent`. `id` is the producer's, or ours where it gave none.
/// A `CloudEvent` has no place for the state before a change; only the CRM envelope carries it.
pub fn render(event: &Event, style: BodyStyle) -> Rendered {
    let is_json = is_json_content_type(&event.content_type);
    match style {
        BodyStyle::Envelope if is_json => json::envelope(event),
        BodyStyle::Crm if is_json => json::crm(event),
        BodyStyle::CloudeventsStructured => cloudevents::structured(event),
        BodyStyle::CloudeventsBinary => cloudevents::binary(event),
        BodyStyle::Envelope | BodyStyle::Crm | BodyStyle::Raw => Rendered::data_of(event),
    }
}

/// Whether a media type is JSON: `application/json`, `text/json` or any `…+json`, parameters aside.
pub fn is_json_content_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json")
        || (essence.contains('/') && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests;
