//! What a receiver gets, and what follows its answer.

mod answers;
mod dead_letters;
mod deletion;
mod impostors;
mod retries;
mod signature;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    let tests = [
        retries::tests(),
        dead_letters::tests(),
        impostors::tests(),
        answers::tests(),
        deletion::tests(),
        signature::tests(),
    ];
    tests.into_iter().flatten().collect()
}
