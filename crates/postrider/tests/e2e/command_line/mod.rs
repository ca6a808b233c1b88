//! Commands that work on a running server.

mod server;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    server::tests()
}
