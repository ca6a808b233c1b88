//! Commands that work on a running server.

mod server;
mod shell;
mod watching;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [server::tests(), watching::tests()].into_iter().flatten().collect()
}
