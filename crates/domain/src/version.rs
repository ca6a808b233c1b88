//! The version of the directory that a decision was made under.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// (epoch, seq): epochs are ordered by an operator, `seq` is assigned by the relay as it publishes.
/// Compares lexicographically.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirectoryVersion {
    /// Counts restores of the configuration: a higher epoch replaces everything of a lower one.
    pub epoch: i64,
    /// Counts published entries within the epoch.
    pub seq: i64,
}

impl fmt::Display for DirectoryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// A text that is not `<epoch>.<seq>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a directory version: expected '<epoch>.<seq>'")]
pub struct InvalidVersion(String);

impl FromStr for DirectoryVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let parse = || {
            let (epoch, seq) = text.split_once('.')?;
            Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_round_trip_and_compare_by_epoch_first() {
        let version = |epoch, seq| DirectoryVersion { epoch, seq };
        assert_eq!("2.17".parse(), Ok(version(2, 17)));
        assert_eq!(version(2, 17).to_string(), "2.17");
        assert!(version(2, 0) > version(1, 99));
        for bad in ["", "1", "1.", ".1", "1.2.3", "a.b"] {
            assert!(bad.parse::<DirectoryVersion>().is_err(), "{bad}");
        }
    }
}
