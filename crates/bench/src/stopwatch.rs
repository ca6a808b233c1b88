//! The time by which loader and sink measure: both are in this process, so that it may be monotonic.

use tokio::time::Instant;

/// Time since it was made.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since it was started.
    pub fn micros(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).expect("the process runs for less than 584,000 years")
    }
}
