//! How changes made through the API reach the data plane.

mod edits;
mod lag;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [edits::tests(), lag::tests()].into_iter().flatten().collect()
}
