//! How a command ends when it does not succeed: one line on stderr, and an exit code.

use std::{fmt, process::ExitCode};

use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong: exit code 2, as for a wrong command line.
    Configuration(ConfigError),
    /// The command line lacks something, or has something that can't be read: exit code 2.
    Usage(String),
    /// A server refused what it was asked for: exit code 4.
    Refused(String),
    /// A server can't be reached, or can't do it for now: exit code 5.
    Unreachable(String),
    /// Anything else: exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    /// The process' exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Refused(_) => ExitCode::from(4),
            Self::Unreachable(_) => ExitCode::from(5),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    /// One line: what failed, and why down to its first cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Configuration(error) => error.to_string(),
            Self::Usage(text) | Self::Refused(text) | Self::Unreachable(text) => text.clone(),
            Self::Failed(error) => one_chain(error),
        };
        f.write_str(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// An error and its causes, without those that an earlier message already quotes.
fn one_chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_failure_is_one_line_that_says_each_cause_once() {
        let error = anyhow!("connection refused").context("can't connect: connection refused");
        let error = Err::<(), _>(error).context("the relay\nfailed").unwrap_err();
        assert_eq!(Failure::from(error).to_string(), "the relay failed: can't connect: connection refused");
    }
}
