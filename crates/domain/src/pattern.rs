//! Event types, and patterns of them: `order.created`, `order.*`, `*`.
//!
//! An event type is 1 to 256 ASCII characters: segments of letters, digits, `_` and `-`, separated by one `.`,
//! `/` or `:` each (`order.created`, `com.example/order:v2`). A pattern is an event type, or one or more
//! leading segments followed by `.*`, or `*` alone.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest event type or pattern, in characters.
pub const MAX_EVENT_TYPE_LENGTH: usize = 256;

/// How much of a bad text is echoed in an error.
const ECHOED_CHARACTERS: usize = 64;

/// Which event types a subscription wants. Clones share its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TypePattern {
    /// One type, as `order.created`.
    Exact(Arc<str>),
    /// Every type below a prefix, as `order.*`; holds `order.` (dot included).
    Prefix(Arc<str>),
    /// Every type.
    Any,
}

/// Why a text is not an event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventType {
    /// Nothing at all.
    #[error("the event type is empty: name it as in 'order.created'")]
    Empty,
    /// Over [`MAX_EVENT_TYPE_LENGTH`].
    #[error("the event type has {length} characters: use at most {MAX_EVENT_TYPE_LENGTH}")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// A character outside the alphabet.
    #[error(
        "'{text}' is not an event type: {character:?} is not allowed; use letters, digits, '_' and '-' in segments separated by '.', '/' or ':'"
    )]
    Character {
        /// What was given, shortened.
        text: String,
        /// The first bad character.
        character: char,
    },
    /// A separator at the start, at the end, or next to another.
    #[error(
        "'{text}' is not an event type: it has an empty segment; put a name before and after every '.', '/' and ':'"
    )]
    EmptySegment {
        /// What was given, shortened.
        text: String,
    },
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// A `*` that does not stand for whole trailing segments.
    #[error(
        "'{text}' is not an event-type pattern: '*' stands alone or as the last segment after a dot, as in 'order.*'"
    )]
    Wildcard {
        /// What was given, shortened.
        text: String,
    },
    /// The rest is not an event type.
    #[error(transparent)]
    Type(#[from] InvalidEventType),
}

/// Checks that `text` is an event type (see the module's head for what that is).
pub fn validate_event_type(text: &str) -> Result<(), InvalidEventType> {
    if text.is_empty() {
        return Err(InvalidEventType::Empty);
    }
    let length = text.chars().count();
    if length > MAX_EVENT_TYPE_LENGTH {
        return Err(InvalidEventType::TooLong { length });
    }
    if let Some(character) = text.chars().find(|&c| !is_segment_character(c) && !is_separator(c)) {
        return Err(InvalidEventType::Character { text: shortened(text), character });
    }
    if text.split(is_separator).any(str::is_empty) {
        return Err(InvalidEventType::EmptySegment { text: shortened(text) });
    }
    Ok(())
}

impl TypePattern {
    /// Whether an event of type `event_type` is wanted. `order.*` wants everything below `order`, at any
    /// depth, but not `order` itself.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Exact(wanted) => **wanted == *event_type,
            Self::Prefix(prefix) => event_type.len() > prefix.len() && event_type.starts_with(&**prefix),
            Self::Any => true,
        }
    }
}

impl FromStr for TypePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, is_prefix) = match text.strip_suffix(".*") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') || (is_prefix && name.is_empty()) {
            return Err(InvalidPattern::Wildcard { text: shortened(text) });
        }
        if text.chars().count() > MAX_EVENT_TYPE_LENGTH {
            return Err(InvalidEventType::TooLong { length: text.chars().count() }.into());
        }
        validate_event_type(name)?;
        Ok(if is_prefix { Self::Prefix(format!("{name}.").into()) } else { Self::Exact(name.into()) })
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl TryFrom<String> for TypePattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<TypePattern> for String {
    fn from(pattern: TypePattern) -> Self {
        pattern.to_string()
    }
}

fn is_segment_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_separator(c: char) -> bool {
    matches!(c, '.' | '/' | ':')
}

fn shortened(text: &str) -> String {
    text.chars().take(ECHOED_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        let table = [
            ("order.created", "order.created", true),
            ("order.created", "order.created.v2", false),
            ("order.created", "Order.created", false),
            ("order.*", "order.created", true),
            ("order.*", "order.line.added", true),
            ("order.*", "order", false),
            ("order.*", "orders.created", false),
            ("com.example/order.*", "com.example/order.created", true),
            ("*", "anything", true),
        ];
        for (pattern, event_type, wanted) in table {
            assert_eq!(pattern.parse::<TypePattern>().unwrap().matches(event_type), wanted, "{pattern} {event_type}");
        }
    }

    #[test]
    fn event_types_are_liberal_but_bounded() {
        let long = "x".repeat(MAX_EVENT_TYPE_LENGTH);
        for good in ["a", "order.created", "com.example/order:v2", "A-1_b.C", &long] {
            assert_eq!(validate_event_type(good), Ok(()), "{good}");
        }
        let too_long = "x".repeat(MAX_EVENT_TYPE_LENGTH + 1);
        for bad in ["", ".", "a.", ".a", "a..b", "a./b", "a b", "é", "a.*", "a\n", &too_long] {
            assert!(validate_event_type(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_anywhere_else_is_refused_with_the_fix() {
        for bad in ["**", "order*", "*.created", "order.*.v1", ".*", "order.**", "order/*"] {
            let message = bad.parse::<TypePattern>().unwrap_err().to_string();
            assert!(message.contains("as in 'order.*'"), "{bad}: {message}");
        }
        let long = format!("{}.*", "x".repeat(MAX_EVENT_TYPE_LENGTH));
        assert!(matches!(long.parse::<TypePattern>(), Err(InvalidPattern::Type(InvalidEventType::TooLong { .. }))));
    }

    proptest! {
        #[test]
        fn text_and_json_round_trip(text in "[a-c]{1,2}([./:][a-c]){0,3}(\\.\\*)?|\\*") {
            let pattern: TypePattern = text.parse().unwrap();
            prop_assert_eq!(pattern.to_string(), text.clone());
            let json = serde_json::to_string(&pattern).unwrap();
            prop_assert_eq!(&json, &format!("\"{text}\""));
            prop_assert_eq!(serde_json::from_str::<TypePattern>(&json).unwrap(), pattern);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<TypePattern>();
        }
    }
}
