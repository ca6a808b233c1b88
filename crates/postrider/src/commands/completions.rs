//! `postrider completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints what makes a shell complete command lines.
pub fn run(shell: Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "postrider", &mut std::io::stdout());
}
