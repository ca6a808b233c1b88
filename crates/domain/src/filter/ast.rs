//! What a filter is made of, and its JSON.

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value, json};

use super::{FieldPath, InvalidFilter, Root};

/// A filter: `all`/`any`/`not` over conditions. JSON as in the API, e.g.
/// `{"all": [{"field": "data.total", "operator": "greater_than", "value": 100}]}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Every one of them holds.
    All(Vec<Filter>),
    /// At least one of them holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A condition holds.
    Condition(Condition),
}

/// What must hold of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The field.
    pub field: FieldPath,
    /// What must hold of it.
    pub test: Test,
}

/// An operator with its value. What each means is in the table of the [module](super).
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Is equal.
    Equals(Value),
    /// Is not equal, or missing.
    NotEquals(Value),
    /// Has it in it.
    Contains(Value),
    /// Starts with it.
    StartsWith(String),
    /// Is greater.
    GreaterThan(Bound),
    /// Is greater or equal.
    GreaterThanOrEqual(Bound),
    /// Is less.
    LessThan(Bound),
    /// Is less or equal.
    LessThanOrEqual(Bound),
    /// Is equal to one of them.
    In(Vec<Value>),
    /// Is there, or is not.
    Exists(bool),
    /// Has a match.
    Regex(TextPattern),
    /// Differs from before.
    Changed,
}

/// What a field is ordered against.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// A number, of any size and precision.
    Number(Number),
    /// A text.
    Text(String),
}

/// A regular expression, compiled once; equal to another of the same source.
#[derive(Debug, Clone)]
pub struct TextPattern(pub(super) Regex);

impl Filter {
    /// Whether some condition looks into the event's JSON.
    pub fn needs_body(&self) -> bool {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().any(Self::needs_body),
            Self::Not(filter) => filter.needs_body(),
            Self::Condition(condition) => !matches!(condition.field.root(), Root::Attribute(_)),
        }
    }

    /// Visits every condition.
    pub(crate) fn for_each_condition(&self, visit: &mut impl FnMut(&Condition)) {
        match self {
            Self::All(filters) | Self::Any(filters) => {
                for filter in filters {
                    filter.for_each_condition(visit);
                }
            }
            Self::Not(filter) => filter.for_each_condition(visit),
            Self::Condition(condition) => visit(condition),
        }
    }

    /// Gives back the room that parsing left over, and visits every condition.
    pub(crate) fn compact(&mut self, visit: &mut impl FnMut(&mut Condition)) {
        match self {
            Self::All(filters) | Self::Any(filters) => {
                filters.shrink_to_fit();
                for filter in filters {
                    filter.compact(visit);
                }
            }
            Self::Not(filter) => filter.compact(visit),
            Self::Condition(condition) => visit(condition),
        }
    }

    /// Its JSON, as in the API.
    pub fn to_json(&self) -> Value {
        match self {
            Self::All(filters) => json!({"all": filters.iter().map(Self::to_json).collect::<Vec<_>>()}),
            Self::Any(filters) => json!({"any": filters.iter().map(Self::to_json).collect::<Vec<_>>()}),
            Self::Not(filter) => json!({"not": filter.to_json()}),
            Self::Condition(condition) => condition.to_json(),
        }
    }
}

impl Condition {
    fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("field".into(), self.field.as_str().into());
        json.insert("operator".into(), self.test.operator().into());
        if let Some(value) = self.test.value() {
            json.insert("value".into(), value);
        }
        Value::Object(json)
    }
}

impl Test {
    /// Every operator's name.
    pub(super) const OPERATORS: [&'static str; 12] = [
        "equals",
        "not_equals",
        "contains",
        "starts_with",
        "greater_than",
        "greater_than_or_equal",
        "less_than",
        "less_than_or_equal",
        "in",
        "exists",
        "regex",
        "changed",
    ];

    /// The operator's name.
    pub fn operator(&self) -> &'static str {
        match self {
            Self::Equals(_) => "equals",
            Self::NotEquals(_) => "not_equals",
            Self::Contains(_) => "contains",
            Self::StartsWith(_) => "starts_with",
            Self::GreaterThan(_) => "greater_than",
            Self::GreaterThanOrEqual(_) => "greater_than_or_equal",
            Self::LessThan(_) => "less_than",
            Self::LessThanOrEqual(_) => "less_than_or_equal",
            Self::In(_) => "in",
            Self::Exists(_) => "exists",
            Self::Regex(_) => "regex",
            Self::Changed => "changed",
        }
    }

    /// The first byte of what a field is compared with, where that is one text or number: what evaluating reads first.
    pub(crate) fn first_byte(&self) -> Option<u8> {
        let text = match self {
            Self::Equals(value) | Self::NotEquals(value) | Self::Contains(value) => match value {
                Value::String(text) => text,
                Value::Number(number) => number.as_str(),
                _ => return None,
            },
            Self::StartsWith(text) => text,
            Self::GreaterThan(bound)
            | Self::GreaterThanOrEqual(bound)
            | Self::LessThan(bound)
            | Self::LessThanOrEqual(bound) => bound.as_str(),
            _ => return None,
        };
        text.as_bytes().first().copied()
    }

    /// The operator's value, if it takes one.
    pub(super) fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Equals(value) | Self::NotEquals(value) | Self::Contains(value) => value.clone(),
            Self::StartsWith(text) => text.as_str().into(),
            Self::GreaterThan(bound)
            | Self::GreaterThanOrEqual(bound)
            | Self::LessThan(bound)
            | Self::LessThanOrEqual(bound) => bound.to_json(),
            Self::In(values) => values.clone().into(),
            Self::Exists(wanted) => (*wanted).into(),
            Self::Regex(pattern) => pattern.as_str().into(),
            Self::Changed => return None,
        })
    }
}

impl Bound {
    /// As it is written.
    fn as_str(&self) -> &str {
        match self {
            Self::Number(number) => number.as_str(),
            Self::Text(text) => text,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Number(number) => number.clone().into(),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

impl TextPattern {
    /// The source of the expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl TryFrom<&Value> for Filter {
    type Error = InvalidFilter;

    fn try_from(json: &Value) -> Result<Self, InvalidFilter> {
        Self::from_json(json)
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
