//! The arguments of `postrider config`.

use clap::{Args, Subcommand};

use super::Output;

const EXAMPLES: &str = "\
After Postgres was restored from a backup, with the processes running or not:
  postrider config republish               # says what differs, and changes nothing
  postrider config republish --new-epoch   # puts it right

One of the deleted endpoints is to be as it was in the backup:
  postrider config republish --new-epoch --bring-back ep_01j9z6q8k2v4x5n7m3b1c0d9ef";

/// The commands below `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Bring a restored database up to what the data plane knows, and publish everything under a new epoch.
    ///
    /// Processes with the role relay refuse to publish over what is newer than their database, and those with the role
    /// api refuse every key, until this was done. What was deleted or revoked since the backup stays so. Tenants,
    /// endpoints, subscriptions and event types that were made or changed since are taken over from Kafka, secrets
    /// included; lost is what only Postgres knew: names, descriptions and metadata of endpoints, quotas, and the API
    /// keys that were made since. Without --new-epoch nothing is changed. Deliveries go on all the time.
    #[command(after_help = EXAMPLES)]
    Republish(RepublishArguments),
}

/// Arguments of `config republish`.
#[derive(Debug, Args)]
pub struct RepublishArguments {
    /// Do it.
    #[arg(long)]
    pub new_epoch: bool,
    /// The id of what was deleted (with what it owned then) or revoked since the backup, and is to be as it was in it;
    /// may be repeated.
    #[arg(long, value_name = "ID")]
    pub bring_back: Vec<String>,
    /// Let keys work although the backup is more than 30 days old: what was revoked so long ago, nobody knows any more,
    /// and so all keys are revoked otherwise.
    #[arg(long)]
    pub keep_keys: bool,
    /// How to print what was found: for people, or as one line of JSON.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}
