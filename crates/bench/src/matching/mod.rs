//! `bench match`: what matching costs, by the number of subscriptions.

mod one;
mod run;
mod workload;

pub use one::{OneOptions, measure_one};
pub use run::{MatchOptions, run};
