//! The catalogue of event types.

mod command;
mod validation;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [command::tests(), validation::tests()].into_iter().flatten().collect()
}
