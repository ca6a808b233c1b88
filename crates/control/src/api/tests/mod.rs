//! The API in process: real routes and a real Postgres, with fakes for name resolution and Kafka.

mod access;
mod analytics;
mod dead_letters;
mod deliveries;
mod delivery_orders;
mod endpoint_extras;
mod endpoint_state;
mod endpoints;
mod event_types;
mod explaining;
mod fakes;
pub(crate) mod fixture;
mod frame;
mod holding;
mod idempotency;
mod input;
mod keys;
mod publishing;
mod replacing;
mod secrets;
mod security;
mod settings;
mod snippets;
mod templates;
mod tenants;
mod tokens;
mod verifying;
