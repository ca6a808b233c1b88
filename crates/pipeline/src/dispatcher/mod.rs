//! Dispatcher: sends deliveries to their endpoints, each through a bounded lane of its own.
//!
//! ```text
//! Reads:        postrider.deliveries   (key: endpoint id)
//! Writes:       postrider.delivery-events, postrider.retry.<tier>, postrider.dlq, postrider.rejected
//! Commits when: the delivery event is acknowledged and, unless the answer was 2xx, the hand-off as well
//! On failure:   what can't be written is not settled, and past a bound nothing more is sent; an unknown schema
//!               holds the partition and reports unready; corrupt bytes are rejected
//! ```

mod attempt;
#[allow(dead_code)]
mod gate;
mod job;
mod lane;
#[allow(dead_code)]
mod memory;
mod opened;
#[allow(dead_code, unused_imports)]
mod overrides;
mod partition;
mod service;
mod settle;
#[allow(dead_code, unused_imports)]
mod state;
#[cfg(test)]
mod tests;
#[allow(dead_code)]
mod uptime;
mod verdict;

pub use service::{Dispatcher, DispatcherConfig, DispatcherDeps};
