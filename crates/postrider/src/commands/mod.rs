//! The commands, one file each.

mod dev;
mod keys;
mod migrate;
mod openapi;
mod run;
mod serve;
mod topics;

pub use run::run;
