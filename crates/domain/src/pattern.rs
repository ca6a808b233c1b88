//! Event-type patterns: `order.created`, `order.*`, `*`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which event types a subscription wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TypePattern {
    /// One type, as `order.created`.
    Exact(String),
    /// Every type below a prefix, as `order.*`; holds `order.` (dot included).
    Prefix(String),
    /// Every type.
    Any,
}
