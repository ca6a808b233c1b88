//! Why an event can't be mapped.

use std::fmt;

use super::{MAX_ELEMENTS, MAX_PATH_BYTES};
use crate::{ErrorClass, custom_header::HeaderRefused, envelope::MAX_BODY_BYTES};

/// Why an event can't be mapped, and where. As text `mapping/body/email: 'data.email' is missing: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingError {
    /// The expression, as a JSON pointer into the mapping.
    pub at: String,
    /// The field that it is about, if it is about one.
    pub path: Option<String>,
    /// What is wrong with it, and what to do.
    pub why: MappingProblem,
}

/// What is wrong with a field, or with what an expression comes to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingProblem {
    /// It is not in the event.
    #[error("is missing: give it a '$default' or '$optional', or filter such events out")]
    Missing,
    /// It is null where something is wanted.
    #[error("is null: give it a '$default' or '$optional', or filter such events out")]
    Null,
    /// It has no text.
    #[error("is {0}, where text, a number or a boolean is wanted")]
    NotScalar(&'static str),
    /// It is not a list.
    #[error("is {0}, where '$each' wants a list")]
    NotAList(&'static str),
    /// Its list is too long.
    #[error("has {0} elements; '$each' takes at most {MAX_ELEMENTS}")]
    TooManyElements(usize),
    /// The format can't be made of it.
    #[error("is {found} that the format '{format}' can't be made of")]
    Format {
        /// The format.
        format: &'static str,
        /// What the field is.
        found: &'static str,
    },
    /// It can't be the value of a header.
    #[error("can't be sent: {0}")]
    Header(HeaderRefused),
    /// It can't be a part of a path.
    #[error(
        "can't be a part of a path: it is empty, '.' or '..', leads through one of them, or has control characters"
    )]
    PathPart,
    /// The path is too long.
    #[error("makes the path longer than {MAX_PATH_BYTES} bytes")]
    PathTooLong,
    /// The body is too large.
    #[error("makes the body larger than {MAX_BODY_BYTES} bytes, which is all that is sent")]
    BodyTooLarge,
    /// It takes more work than an event may.
    #[error("takes too much work: use fewer '$each' within '$each', and shorter texts")]
    TooMuchWork,
}

impl MappingError {
    pub(super) fn new(path: Option<&str>, why: MappingProblem) -> Self {
        Self { at: String::new(), path: path.map(str::to_owned), why }
    }

    /// The same, seen from the expression that has this one as its `segment`.
    #[must_use]
    pub(super) fn within(self, segment: &str) -> Self {
        let segment = segment.replace('~', "~0").replace('/', "~1");
        Self { at: format!("/{segment}{}", self.at), ..self }
    }

    /// What the delivery ends as.
    pub fn class(&self) -> ErrorClass {
        match self.why {
            MappingProblem::BodyTooLarge => ErrorClass::PayloadTooLarge,
            _ => ErrorClass::MappingFailed,
        }
    }
}

impl std::error::Error for MappingError {}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "mapping{}: '{path}' {}", self.at, self.why),
            None => write!(f, "mapping{}: it {}", self.at, self.why),
        }
    }
}
