//! Topics by pattern: whose names match it, but never Postrider's own or the brokers'.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::Topics;

/// The most memory that a compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A pattern of topics' names.
#[derive(Debug, Clone)]
pub struct TopicPattern {
    regex: Regex,
    own: Topics,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicPattern {
    /// It does not say that it is one.
    #[error("must begin with '^', as '^shop\\.orders\\.'")]
    NotAnchored,
    /// It is no regular expression.
    #[error("is not a regular expression: {0}")]
    Syntax(String),
}

impl TopicPattern {
    /// The topics whose names match the regular expression `text`, which begins with `^`; without those of `own`.
    pub fn new(text: &str, own: Topics) -> Result<Self, InvalidTopicPattern> {
        if !text.starts_with('^') {
            return Err(InvalidTopicPattern::NotAnchored);
        }
        let regex = RegexBuilder::new(text).size_limit(MAX_PATTERN_BYTES).build();
        // The last line says what is wrong, those before it show where.
        let syntax = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        regex.map(|regex| Self { regex, own }).map_err(|error| InvalidTopicPattern::Syntax(syntax(error)))
    }

    /// Whether it is one of the pattern's.
    pub fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic) && !topic.starts_with("__") && !self.own.are_own(topic)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.regex.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_our_own_topics_nor_the_brokers_match() {
        let pattern = TopicPattern::new("^", Topics::new("p")).unwrap();
        for (topic, expected) in [
            ("shop.orders", true),
            ("p.shop", true),
            ("px.dlq", true),
            ("p.retry", true),
            ("p.events", false),
            ("p.dlq", false),
            ("p.retry.5m", false),
            ("p.held.g3", false),
            ("p.held.old", true),
            ("__consumer_offsets", false),
        ] {
            assert_eq!(pattern.matches(topic), expected, "{topic}");
        }
    }

    #[test]
    fn a_pattern_begins_at_the_beginning() {
        let pattern = TopicPattern::new(r"^shop\.(orders|carts)\.v\d$", Topics::new("p")).unwrap();
        for (topic, expected) in [
            ("shop.carts.v1", true),
            ("shop.orders.v2", true),
            ("a.shop.orders.v1", false),
            ("shop.orders.v1.old", false),
        ] {
            assert_eq!(pattern.matches(topic), expected, "{topic}");
        }
        assert_eq!(TopicPattern::new("shop", Topics::new("p")).unwrap_err(), InvalidTopicPattern::NotAnchored);
        for bad in ["^(", "^\\d{1000}{1000}{1000}"] {
            let error = TopicPattern::new(bad, Topics::new("p")).unwrap_err();
            assert!(matches!(error, InvalidTopicPattern::Syntax(_)) && !error.to_string().contains('\n'), "{error}");
        }
    }
}
