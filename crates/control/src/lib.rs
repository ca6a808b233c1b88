//! Postrider's control plane: the REST API over Postgres, and what ties Postgres to Kafka.
//!
//! A change is one transaction: row, outbox, audit. It can't name the pipeline: what the data plane knows, it
//! knows from `postrider.config`.

pub mod analytics;
pub mod api;
pub mod audit;
pub mod audit_chain;
pub mod auth;
pub mod clock;
pub mod event_schemas;
mod idempotency;
pub mod manage;
pub mod projector;
pub mod relay;
pub mod replays;
pub mod republish;
pub mod rotation;
pub mod secret_text;
pub mod security;
pub mod signature_check;
pub mod snippets;
pub mod test_sends;
pub mod upkeep;
pub mod verification;
