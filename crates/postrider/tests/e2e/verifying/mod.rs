//! Whether an endpoint works and its receiver verifies what it gets, and whether nobody tampered with the audit log.

mod audit;
mod test_sends;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [test_sends::tests(), audit::tests()].into_iter().flatten().collect()
}
