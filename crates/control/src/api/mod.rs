//! The REST API: one file per resource.

mod access;
mod analytics;
mod analytics_csv;
mod analytics_types;
mod api_key_types;
mod api_keys;
mod audit_log;
mod body;
mod cors;
mod dead_letter_selection;
mod dead_letter_types;
mod dead_letters;
mod deliveries;
mod delivery_types;
mod endpoint_action_types;
mod endpoint_actions;
mod endpoint_health;
mod endpoint_input;
mod endpoint_parts;
mod endpoint_patch;
mod endpoint_setting_types;
mod endpoint_settings;
mod endpoint_types;
mod endpoint_verification;
mod endpoints;
mod etag;
mod event_type_types;
mod event_types;
mod events;
mod frame;
mod gzip;
mod health;
mod idempotency;
mod ip_rules;
mod kafka_publisher;
mod openapi;
mod ordered_json;
mod pagination;
mod parameter;
mod polish;
mod problem;
mod public_keys;
mod rate_headers;
mod replay_types;
mod replays;
mod respond;
mod resume;
mod schema;
mod secret_types;
mod secrets;
mod security_events;
mod security_parts;
mod server;
mod snippets;
mod state;
mod subscriptions;
mod template_types;
mod templates;
mod tenant_types;
mod tenants;
mod test_sends;
#[cfg(test)]
pub(crate) mod tests;
mod unread;
mod validate;
mod verify_signature;

pub use cors::is_origin;
pub use kafka_publisher::KafkaPublisher;
pub use openapi::openapi_document;
pub use problem::{Problem, ProblemKind};
pub use server::{Api, ApiError, serve};
pub use state::{
    ApiConfig, ApiState, CertificateCheck, EventToPublish, Handshakes, HostResolver, PublishError, Published,
    Publisher, Question, Reply,
};
