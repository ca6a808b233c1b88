//! How the process starts, or says in one line why it does not.

mod failures;
mod help;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [failures::tests(), help::tests()].into_iter().flatten().collect()
}
