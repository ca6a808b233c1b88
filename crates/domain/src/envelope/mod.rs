//! The body that is sent: an event's untouched data, alone or with something built around it.

mod cloudevents;
mod json;
mod render;

pub use render::{MAX_BODY_BYTES, Rendered, is_json_content_type, render};
