//! What can't be sent now is kept, once, and sent when it can be.

mod down;
mod pause;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [down::tests(), pause::tests()].into_iter().flatten().collect()
}
