//! Whether a filter holds for an event.

use std::{borrow::Cow, cmp::Ordering, sync::OnceLock};

use bytes::Bytes;
use chrono::DateTime;
use serde_json::Value;

use super::{Attribute, Bound, Condition, FieldPath, Filter, Root, Roots, Test, equality::equal, number};
use crate::{Event, envelope::is_json_content_type};

/// An event as filters see it: `data` and `previous` are each parsed once, when a condition first looks into them.
/// What can't be parsed (not JSON, or nested over 128 deep) has no fields.
#[derive(Debug)]
pub struct EventView<'a> {
    event: &'a Event,
    parsed: Parsed,
}

/// What an event's view has parsed, for another view of the same event.
#[derive(Debug, Default)]
pub struct Parsed {
    data: OnceLock<Option<Value>>,
    previous: OnceLock<Option<Value>>,
}

impl<'a> EventView<'a> {
    /// A view of `event`; parses nothing yet.
    pub fn new(event: &'a Event) -> Self {
        Self::with(event, Parsed::default())
    }

    /// A view of `event` that goes on with what an earlier one of it has parsed.
    pub fn with(event: &'a Event, parsed: Parsed) -> Self {
        Self { event, parsed }
    }

    /// What it has parsed, and the bytes of JSON that this was.
    pub fn into_parsed(self) -> (Parsed, usize) {
        let data = self.parsed.data.get().map(|_| &self.event.data);
        let previous = self.parsed.previous.get().and(self.event.previous.as_ref());
        let bytes = data.into_iter().chain(previous).map(Bytes::len).sum();
        (self.parsed, bytes)
    }

    /// The event that is looked at.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// Parses what fields under `roots` are looked up in, unless it is parsed already.
    pub fn parse(&self, roots: Roots) {
        if roots.has(Root::Data) {
            self.data();
        }
        if roots.has(Root::Previous) {
            self.previous();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_parsed(&self) -> bool {
        self.parsed.data.get().is_some() || self.parsed.previous.get().is_some()
    }

    /// Whether there is JSON under `root` that fields can be looked up in.
    pub(super) fn has_fields(&self, root: Root) -> bool {
        match root {
            Root::Data => self.data().is_some(),
            Root::Previous => self.previous().is_some(),
            Root::Attribute(_) => true,
        }
    }

    /// The payload, parsed; none if it can't be.
    pub fn data(&self) -> Option<&Value> {
        let parse = || {
            let is_json = is_json_content_type(&self.event.content_type);
            is_json.then(|| serde_json::from_slice(&self.event.data).ok()).flatten()
        };
        self.parsed.data.get_or_init(parse).as_ref()
    }

    fn previous(&self) -> Option<&Value> {
        let parse = || self.event.previous.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        self.parsed.previous.get_or_init(parse).as_ref()
    }

    fn attribute(&self, attribute: Attribute) -> Option<Value> {
        let event = self.event;
        match attribute {
            Attribute::Id => event.producer_id.as_deref().map(Value::from),
            Attribute::Source => Some(event.source.as_str().into()),
            Attribute::Subject => event.subject.as_deref().map(Value::from),
            Attribute::Tenant => Some(event.tenant.as_str().into()),
            Attribute::Time => Some(event.time.to_rfc3339().into()),
            Attribute::Type => Some(event.event_type.as_str().into()),
        }
    }

    /// The field at `path`; none if it is missing.
    pub fn field(&self, path: &FieldPath) -> Option<Cow<'_, Value>> {
        self.at(path.root(), path.segments())
    }

    /// What stands at `segments` under `root`; none if nothing does.
    pub(super) fn at(&self, root: Root, segments: &[String]) -> Option<Cow<'_, Value>> {
        match root {
            Root::Data => resolve(self.data()?, segments).map(Cow::Borrowed),
            Root::Previous => resolve(self.previous()?, segments).map(Cow::Borrowed),
            Root::Attribute(attribute) => self.attribute(attribute).map(Cow::Owned),
        }
    }

    /// Whether what stands at `segments` differs between `previous` and `data`; not if either is absent as a whole.
    fn is_changed(&self, segments: &[String]) -> bool {
        let (Some(data), Some(previous)) = (self.data(), self.previous()) else { return false };
        match (resolve(data, segments), resolve(previous, segments)) {
            (Some(now), Some(before)) => !equal(now, before),
            (None, None) => false,
            _ => true,
        }
    }
}

impl Filter {
    /// Whether it holds for the event. What each operator means is in the table of the [module](super).
    pub fn matches(&self, event: &EventView<'_>) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event)),
            Self::Not(filter) => !filter.matches(event),
            Self::Condition(condition) => condition.holds(event),
        }
    }
}

impl Condition {
    pub(super) fn holds(&self, event: &EventView<'_>) -> bool {
        if self.test == Test::Changed {
            return event.is_changed(self.field.segments());
        }
        match event.field(&self.field) {
            Some(value) => self.test.holds(&value),
            None => matches!(self.test, Test::NotEquals(_) | Test::Exists(false)),
        }
    }
}

impl Test {
    /// Whether it holds for a field that is not missing. `changed` is not a matter of one value.
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equals(wanted) => equal(value, wanted),
            Self::NotEquals(unwanted) => !equal(value, unwanted),
            Self::Contains(wanted) => contains(value, wanted),
            Self::StartsWith(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Self::GreaterThan(bound) => order(value, bound).is_some_and(Ordering::is_gt),
            Self::GreaterThanOrEqual(bound) => order(value, bound).is_some_and(Ordering::is_ge),
            Self::LessThan(bound) => order(value, bound).is_some_and(Ordering::is_lt),
            Self::LessThanOrEqual(bound) => order(value, bound).is_some_and(Ordering::is_le),
            Self::In(wanted) => wanted.iter().any(|wanted| equal(value, wanted)),
            Self::Exists(wanted) => *wanted,
            Self::Regex(pattern) => value.as_str().is_some_and(|text| pattern.0.is_match(text)),
            Self::Changed => false,
        }
    }
}

/// What stands at `segments` below `root`; none if they lead nowhere.
pub(crate) fn resolve<'v>(root: &'v Value, segments: &[String]) -> Option<&'v Value> {
    segments.iter().try_fold(root, |value, segment| match value {
        Value::Object(object) => object.get(segment),
        Value::Array(list) => list.get(list_position(segment)?),
        _ => None,
    })
}

/// A list position as RFC 6901 writes it: digits without leading zeros.
fn list_position(segment: &str) -> Option<usize> {
    let is_canonical =
        segment.bytes().all(|byte| byte.is_ascii_digit()) && (segment == "0" || !segment.starts_with('0'));
    if is_canonical { segment.parse().ok() } else { None }
}

fn contains(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(list), wanted) => list.iter().any(|element| equal(element, wanted)),
        _ => false,
    }
}

/// How a field stands to a bound; none if they are not of a kind.
fn order(value: &Value, bound: &Bound) -> Option<Ordering> {
    match (value, bound) {
        (Value::Number(value), Bound::Number(bound)) => Some(number::compare(value, bound)),
        (Value::String(value), Bound::Text(bound)) => {
            let instants = DateTime::parse_from_rfc3339(value).ok().zip(DateTime::parse_from_rfc3339(bound).ok());
            Some(instants.map_or_else(|| value.cmp(bound), |(value, bound)| value.cmp(&bound)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
