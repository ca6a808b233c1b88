//! Our own way out is down, and no endpoint is to blame.

mod outage;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    outage::tests()
}
