//! Identities of events and messages: deterministic, so that a repeated match gives the same `webhook-id`.

use crate::{EndpointId, EventId, MessageId, SourceCoordinates, Timestamp};

/// The identity of an event whose producer gave it an id: every part length-prefixed, so that no two
/// different sets of parts give the same text.
pub fn event_id(source_name: &str, cloudevents_source: Option<&str>, producer_id: &str) -> EventId {
    todo!()
}

/// The identity of an event without an id: where, and when, its record was written.
pub fn event_id_from_coordinates(source_name: &str, at: &SourceCoordinates, record_time: Timestamp) -> EventId {
    todo!()
}

/// The `webhook-id` of an event for an endpoint: `msg_` and 26 characters of base 32 of a SHA-256.
pub fn message_id(event: &EventId, endpoint: &EndpointId) -> MessageId {
    todo!()
}
