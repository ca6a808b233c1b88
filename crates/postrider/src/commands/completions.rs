//! `postrider completions`.

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::server::print;
use crate::cli::Cli;

/// Prints what makes a shell complete command lines.
pub fn run(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "postrider", &mut script);
    print::line(String::from_utf8(script).context("the script is no text")?.trim_end());
    Ok(())
}
