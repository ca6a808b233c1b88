//! Where in a record the parts of its event are, for sources that say so.

use bytes::Bytes;
use postrider_domain::Timestamp;
use postrider_kafka::Record;
use serde_json::value::RawValue;

use super::{
    decode::{Parts, Rejection, rfc3339, shortened},
    pointer::Pointer,
};

/// A number of less than this, as a time, is of seconds since 1970 (up to the year 5138), else of milliseconds.
const FIRST_MILLIS: f64 = 1e11;
/// A time past this (the year 5138) is rather one in smaller units.
const MAX_MILLIS: f64 = 1e14;

/// Where a part of an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldFrom {
    /// In the record's header of this name.
    Header(String),
    /// There in the record's value, which is JSON.
    Pointer(Pointer),
    /// It is the record's key.
    Key,
    /// It is the record's time, as Kafka has it.
    Timestamp,
    /// It is this.
    Constant(String),
}

/// Where the parts of an event are that are not where the source's format has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The type.
    pub event_type: Option<FieldFrom>,
    /// The producer's id.
    pub id: Option<FieldFrom>,
    /// When it happened.
    pub time: Option<FieldFrom>,
    /// Whose it is.
    pub tenant: Option<FieldFrom>,
    /// What it is about.
    pub subject: Option<FieldFrom>,
    /// What an ordered endpoint orders by.
    pub ordering_key: Option<FieldFrom>,
    /// The state before the change.
    pub previous: Option<FieldFrom>,
    /// The payload.
    pub payload: Option<FieldFrom>,
}

impl Fields {
    /// Puts what is found in place of what the format has. `value` is what pointers lead into.
    pub(super) fn apply(&self, parts: &mut Parts, record: &Record, value: &Bytes) -> Result<(), Rejection> {
        let look = Look { record, value };
        for (name, from, part) in [
            ("type", &self.event_type, &mut parts.event_type),
            ("id", &self.id, &mut parts.id),
            ("tenant", &self.tenant, &mut parts.tenant),
            ("subject", &self.subject, &mut parts.subject),
            ("ordering_key", &self.ordering_key, &mut parts.ordering_key),
        ] {
            if let Some(from) = from {
                *part = look.text(name, from)?;
            }
        }
        if let Some(from) = &self.time {
            parts.time = look.time(from)?;
        }
        if let Some(from) = &self.previous {
            parts.previous = look.json("previous", from)?.filter(|json| &**json != b"null");
        }
        if let Some(from) = &self.payload {
            let Some(data) = look.json("payload", from)? else {
                return Err(Rejection::undecodable(format!("there is no payload {}", place(from))));
            };
            parts.data = data;
            "application/json".clone_into(&mut parts.content_type);
        }
        Ok(())
    }
}

/// One record that is looked into.
struct Look<'a> {
    record: &'a Record,
    value: &'a Bytes,
}

impl Look<'_> {
    fn text(&self, name: &str, from: &FieldFrom) -> Result<Option<String>, Rejection> {
        let bytes = match from {
            FieldFrom::Pointer(pointer) => {
                let Some(raw) = self.raw(name, pointer)? else { return Ok(None) };
                return scalar(raw)
                    .map_err(|what| Rejection::undecodable(format!("the {name} {} is {what}, not text", place(from))));
            }
            FieldFrom::Constant(text) => return Ok(Some(text.clone())),
            FieldFrom::Timestamp => return Ok(Some(self.record.timestamp.to_rfc3339())),
            FieldFrom::Header(header) => self.record.headers.get(header),
            FieldFrom::Key => self.record.key.as_deref(),
        };
        let text = bytes.map(std::str::from_utf8).transpose();
        let text = text.map_err(|_| Rejection::undecodable(format!("the {name} {} is not UTF-8", place(from))))?;
        Ok(text.map(str::to_owned))
    }

    fn time(&self, from: &FieldFrom) -> Result<Option<Timestamp>, Rejection> {
        if *from == FieldFrom::Timestamp {
            return Ok(Some(self.record.timestamp));
        }
        let Some(text) = self.text("time", from)? else { return Ok(None) };
        let number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        match text.parse::<f64>() {
            Ok(number) if number.abs() < FIRST_MILLIS => Ok(Some(millis(number * 1_000.0))),
            Ok(number) if number.abs() < MAX_MILLIS => Ok(Some(millis(number))),
            Ok(_) if number => Err(Rejection::undecodable(format!(
                "the time {} is {}, neither seconds nor milliseconds since 1970",
                place(from),
                shortened(&text)
            ))),
            _ => rfc3339(&text).map(Some),
        }
    }

    /// JSON as it was written.
    fn json(&self, name: &str, from: &FieldFrom) -> Result<Option<Bytes>, Rejection> {
        let bytes = match from {
            FieldFrom::Pointer(pointer) => {
                let raw = self.raw(name, pointer)?;
                return Ok(raw.map(|raw| self.value.slice_ref(raw.get().as_bytes())));
            }
            FieldFrom::Header(header) => self.record.headers.get(header).map(Bytes::copy_from_slice),
            FieldFrom::Key => self.record.key.clone(),
            FieldFrom::Constant(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            FieldFrom::Timestamp => None,
        };
        match bytes {
            Some(bytes) if !super::json::is_valid_json(&bytes) => {
                Err(Rejection::undecodable(format!("the {name} {} is not JSON", place(from))))
            }
            bytes => Ok(bytes),
        }
    }

    /// What a pointer leads to; of a record without a value, nothing.
    fn raw(&self, name: &str, pointer: &Pointer) -> Result<Option<&RawValue>, Rejection> {
        if self.value.is_empty() {
            return Ok(None);
        }
        let not_json = |error: &dyn std::fmt::Display| {
            Rejection::undecodable(format!(
                "the {name} can't be looked up at '{pointer}': the value is not JSON: {error}"
            ))
        };
        let text = std::str::from_utf8(self.value).map_err(|error| not_json(&error))?;
        pointer.find(text).map_err(|error| not_json(&error))
    }
}

/// A text, or a number or truth value as it was written; none for null. Error: what it is instead.
fn scalar(raw: &RawValue) -> Result<Option<String>, &'static str> {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()).map(Some).map_err(|_| "no text that can be read"),
        Some(b'{') => Err("an object"),
        Some(b'[') => Err("a list"),
        Some(b'n') => Ok(None),
        _ => Ok(Some(raw.get().to_owned())),
    }
}

fn place(from: &FieldFrom) -> String {
    match from {
        FieldFrom::Header(name) => format!("in the header '{name}'"),
        FieldFrom::Pointer(pointer) => format!("at '{pointer}'"),
        FieldFrom::Key => "in the key".to_owned(),
        FieldFrom::Timestamp => "in the record's time".to_owned(),
        FieldFrom::Constant(_) => "in the configuration".to_owned(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than 2^53")]
fn millis(number: f64) -> Timestamp {
    Timestamp::from_millis(number.round() as i64)
}
