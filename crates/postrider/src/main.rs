//! The `postrider` binary: commands, configuration, telemetry and the life of the process.

mod cli;
mod commands;
mod config;
mod connections;
mod failure;
mod lifecycle;
mod roles;
mod server_api;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("postrider: {failure}");
            failure.exit_code()
        }
    }
}
