//! Changes of what the management plane keeps: each one transaction of row, outbox and audit.

pub mod api_keys;
pub(crate) mod auto_disable;
pub mod delivery_orders;
mod edit;
pub mod endpoint_metadata;
pub mod endpoint_settings;
pub mod endpoint_state;
pub mod endpoints;
pub mod event_types;
pub mod ip_rules;
pub mod opened;
pub mod secrets;
pub mod subscriptions;
pub mod templates;
pub mod tenants;

pub use edit::{Edit, ManageError, Precondition};
