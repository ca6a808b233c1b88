//! Code for integrators: the snippets that the API serves, run as they are, and a client generated from the document.

mod client;
mod producers;
mod receivers;
mod rust;
mod toolchain;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [receivers::tests(), producers::tests(), client::tests()].into_iter().flatten().collect()
}
