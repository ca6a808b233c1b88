//! Waiting in the tiers: a wrong clock changes nothing, and little is fetched twice.

mod clocks;
mod pauses;

use crate::support::Test;

pub fn tests() -> Vec<Test> {
    [clocks::tests(), pauses::tests()].into_iter().flatten().collect()
}
