//! Filters: what must hold of an event besides its type.

use serde::{Deserialize, Serialize};

use crate::Event;

/// A filter: `all`/`any`/`not` over conditions. JSON as in the API, e.g.
/// `{"all": [{"field": "data.total", "operator": "greater_than", "value": 100}]}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter { }
