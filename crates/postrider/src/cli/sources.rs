//! The arguments of `postrider sources`.

use clap::{Args, Subcommand};

pub const EXAMPLES: &str = "\
Before the first start, or after a change of the configuration:
  postrider sources check --config postrider.toml

One source, more of its records, for a program:
  postrider sources check --source orders --records 50 --json

Exit codes: 0 every record that was read would be understood, 1 one would not, or could not be read, 2 wrong command
line or configuration.";

/// The commands below `sources`.
#[derive(Debug, Subcommand)]
pub enum Sources {
    /// Read a few records of each source, and show how they would be understood, or why not.
    ///
    /// Reads the oldest and the newest records that there are, without joining a consumer group: nothing is delivered,
    /// rejected or committed. Needs Kafka (and the schema registry, if one is configured), but neither Postgres nor a
    /// running process. Whether anybody subscribed to the events is not looked at.
    #[command(after_help = EXAMPLES)]
    Check(CheckSources),
}

/// Arguments of `sources check`.
#[derive(Debug, Args)]
pub struct CheckSources {
    /// The source; without it, all.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// How many records of each source to read: half of them the oldest, half the newest.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub records: u16,
    /// Print one line of JSON for each record, or each event of a batch.
    #[arg(long)]
    pub json: bool,
}
