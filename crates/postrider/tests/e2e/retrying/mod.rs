//! Waiting in the tiers: a wrong clock changes nothing.

mod clocks;

pub use clocks::tests;
