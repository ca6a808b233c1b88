//! The circuit breaker of one endpoint: after too many failures it gets nothing for a while, then one probe.

mod circuit;
mod window;

pub use circuit::{Breaker, BreakerConfig, BreakerSnapshot, Pass, Permit};
