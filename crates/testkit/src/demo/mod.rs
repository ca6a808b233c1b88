//! The demonstration behind `make demo`: `postrider dev`, four receivers, 1,000 events, and a summary that is
//! checked against what the receivers saw.

mod delivery_log;
mod dev;
mod progress;
mod publish;
mod run;
mod scenario;
mod setup;
mod summary;

pub use run::{DemoOptions, run};
