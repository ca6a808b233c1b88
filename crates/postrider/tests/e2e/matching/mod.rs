//! Which events an endpoint gets.

mod filters;
mod patterns;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [filters::tests(), patterns::tests()].into_iter().flatten().collect()
}
