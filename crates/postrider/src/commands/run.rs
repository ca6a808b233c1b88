//! From the command line to the command.

use std::process::ExitCode;

use anyhow::Context;

use super::{
    audit, completions, config as config_command, dev, event_types, explain, keys, migrate, openapi, replay, serve,
    server, sources, topics,
};
use crate::{
    cli::{Cli, Command, Keys},
    config::{self, ConfigError, Environment, Loaded},
    failure::Failure,
};

/// Runs one command to its end. Answers the exit code.
pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    // It fails only if a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start the asynchronous runtime")?;
    let load = || -> Result<Loaded, ConfigError> { config::load(cli.config.as_deref(), &environment()) };
    let ended = match cli.command {
        Command::Serve(arguments) => runtime.block_on(serve::run(&arguments, &load()?)),
        Command::Dev(arguments) => runtime.block_on(dev::run(&arguments, &load()?)),
        Command::Migrate => runtime.block_on(migrate::run(&load()?)),
        Command::Topics(command) => runtime.block_on(topics::run(&command, &load()?)),
        Command::Sources(command) => runtime.block_on(sources::run(&command, &load()?)),
        Command::Keys(Keys::GenerateMaster) => {
            keys::generate_master();
            Ok(())
        }
        Command::Keys(Keys::Database(command)) => runtime.block_on(keys::run(&command, &load()?)),
        Command::Audit(command) => runtime.block_on(audit::run(&command, &load()?)),
        Command::Config(command) => runtime.block_on(config_command::run(&command, &load()?)),
        Command::EventTypes(command) => runtime.block_on(event_types::run(&command, &load()?)),
        Command::Replay(arguments) => runtime.block_on(replay::run(&arguments, load)),
        Command::Explain(arguments) => return explain::run(&arguments),
        Command::Keys(Keys::Tenant(arguments)) => runtime.block_on(server::keys(&arguments)),
        Command::Endpoints(arguments) => runtime.block_on(server::endpoints(&arguments)),
        Command::Deliveries(arguments) => runtime.block_on(server::deliveries(&arguments)),
        Command::Dlq(arguments) => runtime.block_on(server::dlq(&arguments)),
        Command::Events(arguments) => runtime.block_on(server::events(&arguments)),
        Command::Tail(arguments) => runtime.block_on(server::tail(arguments)),
        Command::Listen(arguments) => runtime.block_on(server::listen(arguments)),
        Command::Completions { shell } => completions::run(shell).map_err(Into::into),
        Command::Openapi => {
            openapi::run();
            Ok(())
        }
    };
    ended.map(|()| ExitCode::SUCCESS)
}

/// The environment; variables that are not UTF-8 are none of ours.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
