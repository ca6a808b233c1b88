//! How fast the whole road is, in a debug build.

mod road;

use crate::support::Test;

/// Every test. They measure time, so that each runs alone.
pub fn tests() -> Vec<Test> {
    road::tests().into_iter().map(Test::alone).collect()
}
