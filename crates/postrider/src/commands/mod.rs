//! The commands, one file each.

mod audit;
mod completions;
mod config;
mod dev;
mod dev_banner;
mod event_types;
mod explain;
mod keys;
mod migrate;
mod openapi;
mod replay;
mod resize;
mod run;
mod serve;
mod server;
mod sources;
mod topics;

pub use run::run;
