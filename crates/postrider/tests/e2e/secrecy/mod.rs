//! What is secret stays sealed: after a run with every kind of secret, none is found in the clear where it could be read.

mod forms;
mod hearing;
mod issuer;
mod places;
mod reading;
mod run;
mod search;
mod wrongs;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    search::tests()
}
