//! `postrider replay`: makes, watches and directs replays.

mod over_http;
mod run;
mod show;
mod start;
mod watch;

pub use run::run;
