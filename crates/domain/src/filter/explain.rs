//! Why a subscription does not match an event.

use std::{fmt, io};

use serde::Serialize;
use serde_json::Value;

use super::{Condition, EventView, Filter, Root, Test};
use crate::{Subscription, TenantId};

/// The longest value that is shown whole, in bytes of JSON.
pub const MAX_SHOWN_BYTES: usize = 256;

/// Whether a subscription matches an event, and if not, the first reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Explanation {
    /// It does.
    Matched,
    /// They belong to different tenants.
    Tenant {
        /// The subscription's.
        expected: TenantId,
        /// The event's.
        found: TenantId,
    },
    /// None of the subscription's patterns is for the event's type.
    EventType {
        /// The patterns.
        expected: Vec<String>,
        /// The type.
        found: String,
    },
    /// The filter does not hold.
    Filter(FailedCondition),
}

/// The first condition because of which a filter does not hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedCondition {
    /// Where it stands, as a JSON pointer into the filter (`/all/1`); empty if it is the whole filter.
    pub pointer: String,
    /// The field.
    pub field: String,
    /// The operator.
    pub operator: &'static str,
    /// The operator's value, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Shown>,
    /// What the field is.
    pub found: Found,
    /// What it was before the change, where that is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Found>,
    /// The condition holds, and stands in a `not`.
    pub negated: bool,
    /// It stands in a list of which one filter would have been enough: where the outermost such list stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_of: Option<String>,
}

/// What a field is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It is missing.
    Missing,
    /// There is nothing to look it up in: no `previous`, or a payload that is not JSON or is nested too deep.
    Unreadable,
    /// This value.
    Value(Shown),
}

/// A value of any size, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Shown {
    /// All of it: 256 bytes of JSON at most.
    Whole(Value),
    /// It is larger.
    Cut {
        /// The beginning of its JSON.
        beginning: String,
    },
}

/// Whether `subscription` matches the event, and if not, the first reason: its tenant, its patterns, or the first
/// condition of its filter that decides so, in the order in which they are written.
pub fn explain(subscription: &Subscription, event: &EventView<'_>) -> Explanation {
    let (tenant, event_type) = (&event.event().tenant, event.event().event_type.as_str());
    if subscription.tenant != *tenant {
        return Explanation::Tenant { expected: subscription.tenant.clone(), found: tenant.clone() };
    }
    if !subscription.event_types.iter().any(|pattern| pattern.matches(event_type)) {
        let expected = subscription.event_types.iter().map(ToString::to_string).collect();
        return Explanation::EventType { expected, found: event_type.to_owned() };
    }
    let failed = subscription.filter.as_ref().and_then(|filter| filter.failure(event, true, ""));
    failed.map_or(Explanation::Matched, Explanation::Filter)
}

impl Explanation {
    /// Whether it matches.
    pub fn is_match(&self) -> bool {
        *self == Self::Matched
    }
}

impl Filter {
    /// The first condition because of which it is not as `wanted`; none if it is.
    fn failure(&self, event: &EventView<'_>, wanted: bool, pointer: &str) -> Option<FailedCondition> {
        let (filters, key, needs_every) = match self {
            Self::Condition(condition) => return condition.failure(event, wanted, pointer),
            Self::Not(filter) => return filter.failure(event, !wanted, &format!("{pointer}/not")),
            // For an `all` to fail, one is enough.
            Self::All(filters) => (filters, "all", wanted),
            Self::Any(filters) => (filters, "any", !wanted),
        };
        let list = format!("{pointer}/{key}");
        let failure = |(index, filter): (usize, &Filter)| filter.failure(event, wanted, &format!("{list}/{index}"));
        let mut failures = filters.iter().enumerate().map(failure);
        if needs_every {
            return failures.flatten().next();
        }
        let first = failures.next()??;
        failures.all(|failure| failure.is_some()).then(|| FailedCondition { one_of: Some(list.clone()), ..first })
    }
}

impl Condition {
    fn failure(&self, event: &EventView<'_>, wanted: bool, pointer: &str) -> Option<FailedCondition> {
        if self.holds(event) == wanted {
            return None;
        }
        let segments = self.field.segments();
        let found = |root| match event.at(root, segments) {
            Some(value) => Found::Value(Shown::of(&value)),
            None if event.has_fields(root) => Found::Missing,
            None => Found::Unreadable,
        };
        let (found, before) = match self.test {
            Test::Changed => (found(Root::Data), Some(found(Root::Previous))),
            _ => (found(self.field.root()), None),
        };
        Some(FailedCondition {
            pointer: pointer.to_owned(),
            field: self.field.to_string(),
            operator: self.test.operator(),
            expected: self.test.value().as_ref().map(Shown::of),
            found,
            before,
            negated: !wanted,
            one_of: None,
        })
    }
}

impl Shown {
    fn of(value: &Value) -> Self {
        let mut json = Beginning(Vec::new());
        if serde_json::to_writer(&mut json, value).is_ok() {
            return Self::Whole(value.clone());
        }
        let beginning = match std::str::from_utf8(&json.0) {
            Ok(all) => all,
            // The last character was cut.
            Err(error) => std::str::from_utf8(&json.0[..error.valid_up_to()]).unwrap_or_default(),
        };
        Self::Cut { beginning: beginning.to_owned() }
    }
}

/// Takes [`MAX_SHOWN_BYTES`], and fails at what is beyond: a large value is not written out.
struct Beginning(Vec<u8>);

impl io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_SHOWN_BYTES - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Explanation {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched => f.write_str("matched"),
            Self::Tenant { expected, found } => {
                write!(f, "not matched: the event is of tenant {found}, the subscription of {expected}")
            }
            Self::EventType { expected, found } => {
                write!(f, "not matched: the event's type is {found}, wanted: {}", expected.join(", "))
            }
            Self::Filter(failed) => write!(f, "not matched: {failed}"),
        }
    }
}

impl fmt::Display for FailedCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, field, operator, expected, found, before, negated, one_of } = self;
        write!(f, "filter{pointer}: {field} {found}")?;
        if let Some(before) = before {
            write!(f, "; before the change it {before}")?;
        }
        write!(f, "; wanted: {}{operator}", if *negated { "not " } else { "" })?;
        if let Some(expected) = expected {
            write!(f, " {expected}")?;
        }
        match one_of {
            Some(list) => write!(f, " (one of filter{list} would be enough, and this is its first)"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Unreadable => f.write_str("is missing, there is no JSON to look for it in"),
            Self::Value(value) => write!(f, "is {value}"),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Cut { beginning } => write!(f, "{beginning}…"),
        }
    }
}

#[cfg(test)]
mod tests;
