//! Templates: what an endpoint that was made of one is sent.

mod endpoint;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    endpoint::tests()
}
