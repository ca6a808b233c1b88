//! An event type, as it is published to the data plane.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{EventTypeId, json_text::JsonText};

/// One type of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventType {
    /// Its id.
    pub id: EventTypeId,
    /// What events name, as `order.created`; unique.
    pub name: String,
    /// Under which heading it is listed, as `order`.
    pub group: String,
    /// What it means, for people.
    pub description: String,
    /// The JSON Schema of its events' data, if it has one.
    pub schema: Option<JsonText>,
    /// What follows when an event's data does not fit the schema.
    pub validation: ValidationMode,
    /// Whether it is of the past. Its events are matched and validated all the same.
    pub archived: bool,
}

/// What follows when an event's data does not fit its type's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidationMode {
    /// Nothing: it is not looked at.
    Off,
    /// It is counted and logged, and delivered.
    #[default]
    Report,
    /// It goes to the rejected topic.
    Reject,
}

impl ValidationMode {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for ValidationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a validation mode: use off, report or reject")]
pub struct InvalidMode(String);

impl FromStr for ValidationMode {
    type Err = InvalidMode;

    fn from_str(text: &str) -> Result<Self, InvalidMode> {
        [Self::Off, Self::Report, Self::Reject]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| InvalidMode(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_back_as_written() {
        for mode in [ValidationMode::Off, ValidationMode::Report, ValidationMode::Reject] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{mode}\""));
        }
        assert!("warn".parse::<ValidationMode>().unwrap_err().to_string().contains("report"));
    }
}
