//! Postrider's Postgres: the migrations, and one file of SQL functions per table group.
//!
//! The functions take a `&mut PgConnection`, so that the caller owns the transaction; what is missing is
//! `Ok(None)`; every query on what a tenant owns takes the tenant. All SQL is checked when it is compiled,
//! against the cache in `.sqlx`, which `scripts/sql-cache` makes.

pub mod api_key_usage;
pub mod api_keys;
pub mod audit;
pub mod audit_chain;
mod connect;
mod database;
pub mod dead_letters;
pub mod delivery_log;
pub mod endpoint_activity;
pub mod endpoint_history;
pub mod endpoints;
pub mod event_types;
pub mod idempotency;
pub mod ip_rules;
pub mod local;
pub mod outbox;
pub mod plans;
pub mod projector_offsets;
pub mod relay_state;
pub mod republish;
pub mod retention;
pub mod rollups;
pub mod secrets;
pub mod security_events;
pub mod standing;
pub mod subscriptions;
pub mod templates;
pub mod tenant_usage;
pub mod tenants;
mod words;

pub use connect::{ConnectError, connect, is_unavailable, migrate, pending_migrations, took_too_long};
pub use database::{Database, SERVICE_ROLE, Wall, connect_service};
pub use sqlx::{Connection, Error, PgConnection, PgPool, Postgres, Transaction, migrate::MigrateError};
pub use words::UnknownWord;

/// The error of a stored value that the domain does not take back.
pub(crate) fn undecodable(column: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) }
}

/// A value as the text of a `json` column. Not a `Json` parameter: that one travels as jsonb, which refuses NUL in
/// a string and numbers of very many digits.
pub(crate) fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what is stored is JSON")
}
