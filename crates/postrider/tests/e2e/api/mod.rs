//! The management API: who may do what, what is refused, and how it is documented.

mod bad_requests;
mod documents;
mod frame;
mod keys;
mod matrix;
mod tenancy;

use crate::support::Test;

/// Every test.
pub fn tests() -> Vec<Test> {
    [bad_requests::tests(), documents::tests(), frame::tests(), keys::tests(), matrix::tests(), tenancy::tests()]
        .into_iter()
        .flatten()
        .collect()
}
