//! A schema, checked and compiled, and what it finds.

use std::fmt;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use super::{
    bounds::{self, Checked},
    burden::{MAX_LONG_DIGITS, long_digits, memory_bytes},
    distinct::{UNIQUE_ITEMS, UniqueItems},
};
use crate::json_text::JsonText;

/// Memory for one compiled pattern, and for what it remembers while it runs.
const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// Memory for the errors of alternatives.
const MAX_ERROR_BYTES: usize = 64 << 20;
/// How much of a place is told.
const MAX_PLACE_CHARACTERS: usize = 300;
/// How much of what is wrong is told.
const MAX_MESSAGE_CHARACTERS: usize = 500;

/// Why a schema can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct InvalidSchema {
    /// Where, as a JSON pointer into the schema.
    pub at: String,
    /// What is wrong, and what to do.
    pub why: String,
}

impl InvalidSchema {
    pub(super) fn new(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at: at.into(), why: why.into() }
    }
}

/// Data that does not fit: the first place found. Shows nothing of the data but its members' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where in the data, as a JSON pointer.
    pub at: String,
    /// By which keyword, as a JSON pointer into the schema.
    pub schema_at: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at '{}' of the data, by '{}' of the schema: {}", self.at, self.schema_at, self.message)
    }
}

/// A JSON Schema that the data of events can be held against, in bounded time.
#[derive(Debug)]
pub struct EventSchema {
    validator: Validator,
    alternatives: usize,
}

impl EventSchema {
    /// Checks a schema (see the [module](super) for what it may be) and compiles it.
    pub fn compile(text: &JsonText) -> Result<Self, InvalidSchema> {
        let Checked { schema, alternatives } = bounds::check(text)?;
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_keyword(UNIQUE_ITEMS, |_, value, _| Ok(Box::new(UniqueItems::new(value))))
            .with_pattern_options(
                PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES),
            );
        let compiled = options.build(&schema);
        compiled.map(|validator| Self { validator, alternatives }).map_err(|error| invalid(&error))
    }

    /// The first place where `data` does not fit; none if it fits.
    pub fn violation(&self, data: &Value) -> Option<Violation> {
        if long_digits(data) > MAX_LONG_DIGITS {
            let message =
                format!("it is not looked at: its numbers of over 40 digits have more than {MAX_LONG_DIGITS} together");
            return Some(Violation { at: String::new(), schema_at: String::new(), message });
        }
        // Most fit, and saying so is cheaper than looking for what does not.
        if self.validator.is_valid(data) {
            return None;
        }
        // Each alternative that does not fit brings all its errors, and each of them a copy of what it is about.
        if self.alternatives > 0 && memory_bytes(data).saturating_mul(self.alternatives) > MAX_ERROR_BYTES {
            let message =
                "it does not fit; where is not told of so much data by a schema with anyOf or oneOf".to_owned();
            return Some(Violation { at: String::new(), schema_at: String::new(), message });
        }
        let error = self.validator.validate(data).err()?;
        Some(Violation {
            at: shortened(error.instance_path().as_str(), MAX_PLACE_CHARACTERS),
            schema_at: shortened(error.schema_path().as_str(), MAX_PLACE_CHARACTERS),
            message: shortened(&error.masked().to_string(), MAX_MESSAGE_CHARACTERS),
        })
    }
}

/// What the compiler refuses: by the meta-schema, whose errors name the place as that of an instance, or a pattern.
fn invalid(error: &ValidationError<'_>) -> InvalidSchema {
    let is_pattern = matches!(error.kind(), ValidationErrorKind::Format { format } if format == "regex");
    let in_instance = error.instance_path().as_str();
    let at = if is_pattern && in_instance.is_empty() { error.schema_path().as_str() } else { in_instance };
    let why = if is_pattern {
        format!(
            "the pattern can't be used: patterns have the syntax of the regex crate, without look-around and \
             back-references, and take at most {} KiB when compiled",
            MAX_PATTERN_BYTES / 1024
        )
    } else {
        shortened(&error.to_string(), MAX_MESSAGE_CHARACTERS)
    };
    InvalidSchema::new(shortened(at, MAX_PLACE_CHARACTERS), why)
}

fn shortened(text: &str, max_characters: usize) -> String {
    match text.char_indices().nth(max_characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
