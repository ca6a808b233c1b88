//! One endpoint's trouble is not another's.

mod hanging;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    hanging::tests()
}
