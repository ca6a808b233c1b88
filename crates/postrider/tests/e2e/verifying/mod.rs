//! Whether an endpoint works and its receiver verifies what it gets, whether nobody tampered with the audit log, and
//! what was refused.

mod audit;
mod security;
mod test_sends;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [test_sends::tests(), audit::tests(), security::tests()].into_iter().flatten().collect()
}
