//! The egress gate: whether it is our own way out that is down, so that nothing is given up for it.

mod egress;
mod turns;

pub use egress::{Admission, EgressGate, GateChange, GateConfig, GateState, Verdict};
