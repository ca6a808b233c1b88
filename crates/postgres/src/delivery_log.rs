//! The log of deliveries: what happened to each, as the projector read it from `postrider.delivery-events`.

mod read;
mod row;
mod write;

pub use read::{DeliveryFilter, DeliveryKey, attempts_of, list, runs_of};
pub use row::{AttemptRow, DeliveryRow, DeliveryStatus, UnknownStatus};
pub use write::{insert_attempts, upsert_deliveries};
