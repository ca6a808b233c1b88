//! Dispatcher: sends deliveries to their endpoints, each through a bounded lane of its own.
//!
//! ```text
//! Reads:        postrider.deliveries, and of the same partition postrider.held and postrider.endpoint-state
//!               (key: endpoint id); postrider.overrides
//! Writes:       postrider.delivery-events, postrider.retry.<tier>, postrider.held, postrider.endpoint-state,
//!               postrider.dlq, postrider.rejected
//! Commits when: the delivery event is acknowledged and, unless the answer was 2xx, the hand-off as well
//! On failure:   what can't be written is not settled, and past a bound nothing more is sent; an unknown schema
//!               holds the partition and reports unready; corrupt bytes are rejected
//! ```

mod attempt;
mod entry;
mod fresh;
mod gate;
mod hold;
mod holding;
mod job;
mod keys;
mod lane;
mod lateness;
mod memory;
mod opened;
mod ordering;
mod overrides;
mod pace;
mod partition;
mod placing;
mod read_ahead;
mod request;
mod sending;
mod service;
mod settle;
mod state;
mod sweeping;
#[cfg(test)]
mod tests;
mod uptime;
mod verdict;

pub(crate) use job::{ORDERING_KEY_HEADER, decode};
pub(crate) use service::lowest_holding;
pub use service::{Dispatcher, DispatcherConfig, DispatcherDeps};
pub use state::RestoreError;
pub(crate) use state::{Form, inherit};
