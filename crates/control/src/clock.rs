//! Where the management plane reads the clock and the system's randomness; everything below takes them as
//! arguments.

use postrider_domain::Timestamp;
use rand::{SeedableRng as _, rngs::StdRng};

/// The wall clock's time now.
#[expect(clippy::disallowed_methods, reason = "the management plane's edge: its rows carry wall-clock times")]
pub fn now() -> Timestamp {
    Timestamp::from_datetime(chrono::Utc::now())
}

/// A cryptographic generator, seeded by the system, for the ids, secrets and keys of one request.
#[expect(clippy::disallowed_methods, reason = "the management plane's edge: ids, secrets and keys begin here")]
pub fn rng() -> StdRng {
    StdRng::from_rng(&mut rand::rng())
}
