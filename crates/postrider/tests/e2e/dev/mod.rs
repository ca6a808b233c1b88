//! `postrider dev`: everything in one process, with nothing else running.

mod guide;
mod tour;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [tour::tests(), guide::tests()].into_iter().flatten().collect()
}
