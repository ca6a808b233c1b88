//! The delivery log and what is counted, as the API shows them.

mod analytics;
mod deliveries;
mod orders;
mod retention;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [analytics::tests(), deliveries::tests(), orders::tests(), retention::tests()].into_iter().flatten().collect()
}
