//! Which events an endpoint gets.

mod filters;
mod mapping;
mod patterns;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [filters::tests(), mapping::tests(), patterns::tests()].into_iter().flatten().collect()
}
