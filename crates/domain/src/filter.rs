//! Filters: what must hold of an event besides its type.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Event;

/// A filter: `all`/`any`/`not` over conditions.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Every one holds.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// One condition.
    Condition(Condition),
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {}

/// Why a filter can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter{path}: {message}")]
pub struct InvalidFilter {
    /// Where, as a JSON pointer into the filter; empty for the whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// An event as filters see it: its JSON is parsed once, when first looked into.
#[derive(Debug)]
pub struct EventView<'a> {
    event: &'a Event,
}

impl<'a> EventView<'a> {
    /// A view of `event`; parses nothing yet.
    pub fn new(event: &'a Event) -> Self {
        Self { event }
    }
}

impl Filter {
    /// From JSON as in the API.
    pub fn from_json(json: &Value) -> Result<Self, InvalidFilter> {
        todo!()
    }
    /// To JSON as in the API.
    pub fn to_json(&self) -> Value {
        todo!()
    }
    /// Whether it holds for the event.
    pub fn matches(&self, event: &EventView<'_>) -> bool {
        todo!()
    }
    /// Whether some condition looks into the event's JSON.
    pub fn needs_body(&self) -> bool {
        todo!()
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
