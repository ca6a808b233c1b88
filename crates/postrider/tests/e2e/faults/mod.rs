//! What is killed, stopped or broken loses nothing.

mod frozen;
mod kills;
mod postgres;
mod rebalance;
mod records;
mod refused;
mod restart;
mod unwritable;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    let tests = [
        restart::tests(),
        rebalance::tests(),
        postgres::tests(),
        records::tests(),
        refused::tests(),
        kills::tests(),
        frozen::tests(),
        unwritable::tests(),
    ];
    tests.into_iter().flatten().collect()
}
