//! The arguments of `postrider audit`.

use clap::{Args, Subcommand};
use postrider_control::audit_chain::NotedLink;

use super::Output;

const EXAMPLES: &str = "\
Check it, and note how it ends:
  postrider audit verify

Check later that it still goes on from there:
  postrider audit verify --noted 10482:026b31…

Whoever can write to the database can cut the newest records off, which a chain alone can't show: keep what this
command prints somewhere else.

Exit codes: 0 nobody tampered with it, 1 somebody did, or it can't be read, 2 wrong command line or configuration.";

/// The commands below `audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check every record of the audit log against the chain that the relay made of them.
    ///
    /// Says which records were altered, removed or slipped in. Needs the database and the master keys, and changes
    /// nothing.
    #[command(after_help = EXAMPLES)]
    Verify(VerifyArguments),
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The end of the chain as this command printed it before: it must still be there.
    #[arg(long, value_name = "SEQ:HASH")]
    pub noted: Option<NotedLink>,
    /// How many days records are kept for: older ones may be missing [default: retention.audit].
    #[arg(long, value_name = "DAYS")]
    pub kept_days: Option<u32>,
    /// How to print what was found: for people, or as one line of JSON.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}
