//! `postrider replay`: makes, watches and directs replays.

mod run;
mod show;
mod start;
mod watch;

pub use run::run;
