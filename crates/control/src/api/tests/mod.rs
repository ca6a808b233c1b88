//! The API in process: real routes and a real Postgres, with fakes for name resolution and Kafka.

mod access;
mod deliveries;
mod endpoints;
mod event_types;
pub(crate) mod fixture;
mod holding;
mod input;
mod publishing;
mod replacing;
mod security;
mod settings;
mod templates;
mod tenants;
