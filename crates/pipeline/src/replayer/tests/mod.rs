//! The replayer on paused time, with logs and a sink in memory.

mod backfilling;
mod directing;
mod redriving;
mod rejecting;
mod world;
