//! Who goes first when there is not room for all.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

/// How urgent what comes from a source is. It decides nothing while there is room for all; when there is not, each gets
/// a part by its weight, so that none starves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A quarter of what `normal` gets.
    Low,
    /// The usual one.
    #[default]
    Normal,
    /// Four times what `normal` gets.
    High,
}

/// A text that is no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a priority: use high, normal or low")]
pub struct InvalidPriority(String);

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Its part of what is scarce, against those of others.
    pub fn weight(self) -> NonZeroU32 {
        const fn of(weight: u32) -> NonZeroU32 {
            NonZeroU32::new(weight).expect("a weight is not zero")
        }
        match self {
            Self::High => const { of(16) },
            Self::Normal => const { of(4) },
            Self::Low => const { of(1) },
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = InvalidPriority;

    fn from_str(text: &str) -> Result<Self, InvalidPriority> {
        let found = Self::ALL.into_iter().find(|priority| priority.as_str() == text);
        found.ok_or_else(|| InvalidPriority(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_the_more_urgent_weighs_more() {
        for priority in Priority::ALL {
            assert_eq!(priority.to_string().parse(), Ok(priority));
        }
        assert!("urgent".parse::<Priority>().is_err());
        assert!(Priority::ALL.is_sorted_by_key(|priority| std::cmp::Reverse(priority.weight())));
        assert_eq!(Priority::default(), Priority::Normal);
    }
}
