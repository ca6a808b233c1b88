//! The delivery log, as the API shows it.

mod deliveries;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    deliveries::tests()
}
