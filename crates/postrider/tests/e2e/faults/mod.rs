//! What is killed, stopped or broken loses nothing.

mod frozen;
mod kills;
mod postgres;
mod postgres_killed;
mod rebalance;
mod records;
mod refused;
mod restart;
mod restored;
mod unwritable;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    let tests = [
        restart::tests(),
        rebalance::tests(),
        postgres::tests(),
        postgres_killed::tests(),
        restored::tests(),
        records::tests(),
        refused::tests(),
        kills::tests(),
        frozen::tests(),
        unwritable::tests(),
    ];
    tests.into_iter().flatten().collect()
}
