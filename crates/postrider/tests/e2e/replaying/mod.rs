//! What failed is delivered again, and what came before its subscription is delivered at all.

mod backfill;
mod command;
mod redrive;

pub use command::replay;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [redrive::tests(), backfill::tests()].into_iter().flatten().collect()
}
