//! `bench control`: the management plane at scale.

mod counts;
mod dataset;
mod edits;
mod plane;
mod projection;
mod publishing;
mod reads;
mod run;
mod target;

pub use run::{ControlOptions, run};
