//! Which events an endpoint gets.

mod explaining;
mod filters;
mod mapping;
mod patterns;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    let tests = [explaining::tests(), filters::tests(), mapping::tests(), patterns::tests()];
    tests.into_iter().flatten().collect()
}
