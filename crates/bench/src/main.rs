//! Measures the release build of Postrider on a real Kafka and a real Postgres, against a sink of its own.
//!
//! `make bench`, `make bench-match`, `make bench-control` and `make test-isolation` run it. Exit codes: 0 every target is
//! met, 1 one is missed or the measurement failed.

mod control;
mod deployment;
mod isolation;
mod load;
mod loader;
mod matching;
mod memory;
mod memory_watch;
mod raw;
mod report;
mod request;
mod servers;
mod sink;
mod stopwatch;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Measures Postrider.
#[derive(Debug, Parser)]
enum Command {
    /// Speed, latency, and CPU time per delivery.
    Load(load::LoadOptions),
    /// Memory with a small and with a large backlog.
    Memory(memory::MemoryOptions),
    /// What one endpoint that hangs does to the others.
    Isolation,
    /// The management plane at scale: reads, analytics, projection, publishing, edits.
    Control(control::ControlOptions),
    /// What matching an event costs, by the number of subscriptions. Needs no server.
    Match(matching::MatchOptions),
    /// One index of subscriptions; `match` runs it.
    #[command(hide = true)]
    MatchOne(matching::OneOptions),
    /// The loop that Postrider is compared with; `load` runs it.
    #[command(hide = true)]
    Raw(raw::RawOptions),
}

fn main() -> ExitCode {
    match measure(&Command::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(command: &Command) -> anyhow::Result<bool> {
    let _ = rustls::crypto::ring::default_provider().install_default(); // nobody was faster
    let runtime = tokio::runtime::Runtime::new().context("start the asynchronous runtime")?;
    runtime.block_on(async {
        match command {
            Command::Load(options) => load::run(options).await,
            Command::Memory(options) => memory::run(options).await,
            Command::Isolation => isolation::run().await,
            Command::Control(options) => Box::pin(control::run(options)).await,
            Command::Match(options) => matching::run(options).await,
            Command::MatchOne(options) => matching::measure_one(options).map(|()| true),
            Command::Raw(options) => raw::run(options).await.map(|()| true),
        }
    })
}
