//! `postrider topics resize`: another number of partitions, and nothing lost.

mod resize;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    resize::tests()
}
