//! What failed is delivered again, and what came before its subscription is delivered at all.

mod backfill;
mod command;
mod over_http;
mod redrive;

pub use command::replay;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [redrive::tests(), backfill::tests(), over_http::tests()].into_iter().flatten().collect()
}
