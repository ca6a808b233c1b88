//! What a receiver gets, and what follows its answer.

mod answers;
mod dead_letters;
mod retries;
mod signature;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [retries::tests(), dead_letters::tests(), answers::tests(), signature::tests()].into_iter().flatten().collect()
}
