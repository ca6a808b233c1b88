//! Endpoints as the management plane has them: secrets, verification, maintenance, health.

mod health;
mod maintenance;
mod rotation;
mod verification;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [rotation::tests(), verification::tests(), maintenance::tests(), health::tests()].into_iter().flatten().collect()
}
