//! What can be wrong with the configuration, each in one line that names the place and the fix.

use std::{fmt, path::PathBuf};

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for can't be read.
    #[error("can't read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and how to mend it.
        message: String,
    },
    /// An environment variable is wrong.
    #[error("environment variable {name}: {message}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong, and how to mend it.
        message: String,
    },
    /// A key has a value of the right kind that makes no sense.
    #[error("{origin}{message}")]
    Invalid {
        /// Where the value comes from.
        origin: Origin,
        /// What is wrong, beginning with the key, and how to mend it.
        message: String,
    },
    /// A key without a default is not set.
    #[error("{key} is not set, but {needed_by} needs it: set it in the configuration file or in {variable}")]
    Missing {
        /// The key, as `section.key`.
        key: &'static str,
        /// Who needs it.
        needed_by: String,
        /// The environment variable that sets it.
        variable: String,
    },
}

/// Where a value comes from. Shown as the beginning of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::File { path, line } => write!(f, "{}:{line}: ", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}: "),
        }
    }
}

/// Says what serde said in the words of a configuration: keys instead of fields, and the nearest known key
/// instead of all of them. `path` is where it happened (`kafka.properties`), empty for the top level.
pub fn in_words(serde_message: &str, path: &str) -> String {
    let serde_message = &without_secrets(serde_message.trim(), path);
    if let Some(rest) = serde_message.strip_prefix("unknown field ") {
        let mut names = rest.split('`').skip(1).step_by(2);
        let unknown = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        return format!("unknown key '{}'; {}", qualified(path, unknown), suggestion(unknown, &known));
    }
    if let Some(rest) = serde_message.strip_prefix("missing field ") {
        let name = rest.trim_matches('`');
        return format!("'{}' is missing", qualified(path, name));
    }
    if path.is_empty() { serde_message.to_owned() } else { format!("'{path}': {serde_message}") }
}

/// Sections and tables whose values are passwords and keys.
const SECRETIVE: [&str; 5] = ["security", "postgres", "kafka.properties", "egress.proxy", "schema_registry"];

/// The message without the text that it quotes, where that text may be a secret.
fn without_secrets(message: &str, path: &str) -> String {
    let secretive = SECRETIVE.iter().any(|prefix| path.starts_with(prefix));
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if secretive && first < last => {
            format!("{}…{}", &message[..=first], &message[last..])
        }
        _ => message.to_owned(),
    }
}

/// `path.name`, without naming `name` twice where the path already ends in it.
fn qualified(path: &str, name: &str) -> String {
    if path.is_empty() || path == name {
        name.to_owned()
    } else if path.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')) {
        path.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// How alike two names must be to be taken for a typing error.
const ALIKE: f64 = 0.8;

fn suggestion(unknown: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((_, name)) => format!("did you mean '{name}'?"),
        None => format!("known keys here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_gets_a_suggestion_or_the_list() {
        let serde = "unknown field `bootstrap_server`, expected one of `bootstrap_servers`, `client_id`";
        assert_eq!(in_words(serde, "kafka"), "unknown key 'kafka.bootstrap_server'; did you mean 'bootstrap_servers'?");
        let serde = "unknown field `zzz`, expected one of `bootstrap_servers`, `client_id`";
        assert_eq!(
            in_words(serde, "kafka.zzz"),
            "unknown key 'kafka.zzz'; known keys here: bootstrap_servers, client_id"
        );
    }

    #[test]
    fn a_value_that_may_be_secret_is_not_quoted() {
        let serde = "invalid type: string \"postgres://u:hunter2@db\", expected struct PostgresSection";
        assert_eq!(
            in_words(serde, "postgres"),
            "'postgres': invalid type: string \"…\", expected struct PostgresSection"
        );
    }

    #[test]
    fn other_errors_name_the_key() {
        assert_eq!(in_words("missing field `topic`", "sources[0]"), "'sources[0].topic' is missing");
        assert_eq!(in_words("invalid type: string", "topics.partitions"), "'topics.partitions': invalid type: string");
    }
}
