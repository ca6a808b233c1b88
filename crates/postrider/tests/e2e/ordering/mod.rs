//! Ordered endpoints: one at a time per key, in order, whatever happens.

mod order;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    order::tests()
}
