//! The replayer on paused time, with logs and a sink in memory.

mod backfilling;
mod directing;
mod mapping_again;
mod redriving;
mod rejecting;
mod world;
