//! No way in: where deliveries may not go.

mod at_creation;
mod at_delivery;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [at_creation::tests(), at_delivery::tests()].into_iter().flatten().collect()
}
