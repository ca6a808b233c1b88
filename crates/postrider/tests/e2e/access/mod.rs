//! Who gets in, and how much they may.

mod keys;
mod tenants;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [keys::tests(), tenants::tests()].into_iter().flatten().collect()
}
