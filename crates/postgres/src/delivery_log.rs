//! The log of deliveries: what happened to each, as the projector read it from `postrider.delivery-events`.

mod held;
mod list;
mod orders;
mod pending;
mod read;
mod row;
mod write;

pub use held::{end_late, end_ranges, forget_ranges, lock_out_deliveries, lock_out_ranges};
pub use list::{DeliveryFilter, DeliveryKey, list, of_event};
pub use orders::{DeliveryOrder, forget_orders, lock_order, mark_cancelled, mark_due, put_order};
pub use pending::{PendingCounts, pending};
pub use read::{attempts_of, get, known_runs, live_statuses, runs_of};
pub use row::{AttemptRow, DeliveryRow, DeliveryStatus, HeldAt, UnknownStatus};
pub(crate) use write::column;
pub use write::{insert_attempts, upsert_deliveries};
