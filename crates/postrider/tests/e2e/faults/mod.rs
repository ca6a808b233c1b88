//! What is killed, stopped or broken loses nothing.

mod postgres;
mod rebalance;
mod records;
mod restart;
pub mod stream;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [restart::tests(), rebalance::tests(), postgres::tests(), records::tests()].into_iter().flatten().collect()
}
