//! Postrider's control plane: the REST API over Postgres, and what ties Postgres to Kafka.
//!
//! A change is one transaction: row, outbox, audit. It can't name the pipeline: what the data plane knows, it
//! knows from `postrider.config`.

pub mod api;
pub mod audit;
pub mod auth;
pub mod clock;
pub mod event_schemas;
pub mod manage;
pub mod projector;
pub mod relay;
pub mod replays;
pub mod secret_text;
