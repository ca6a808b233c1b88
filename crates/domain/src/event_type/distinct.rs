//! `uniqueItems`, in time that grows with the data. The compiler's own hashes numbers as floats, and lists without
//! their ends: elements chosen to share a hash are compared each with each.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
};

use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

use crate::filter::equality;

/// The keyword's name.
pub(super) const UNIQUE_ITEMS: &str = "uniqueItems";

/// Holds if no element of a list is equal to another.
pub(super) struct UniqueItems {
    wanted: bool,
}

impl UniqueItems {
    /// The keyword with its value: `false` asks for nothing.
    pub(super) fn new(value: &Value) -> Self {
        Self { wanted: *value == Value::Bool(true) }
    }
}

impl<'i> Keyword<'i> for UniqueItems {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) { Ok(()) } else { Err(ValidationError::custom("value has non-unique elements")) }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        let Some(list) = instance.as_array().filter(|_| self.wanted) else { return true };
        let mut seen = HashSet::with_capacity(list.len());
        list.iter().all(|element| seen.insert(Element(element)))
    }
}

/// A value among others: equal as filters understand it, which is JSON Schema's way too.
struct Element<'a>(&'a Value);

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        equality::equal(self.0, other.0)
    }
}

impl Eq for Element<'_> {}

impl Hash for Element<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        equality::hash(self.0, state);
        match self.0 {
            Value::Array(list) => list.iter().for_each(|element| Element(element).hash(state)),
            Value::Object(object) => {
                let mut members: Vec<_> = object.iter().collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                for (name, value) in members {
                    name.hash(state);
                    Element(value).hash(state);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unique(list: &str) -> bool {
        UniqueItems::new(&json!(true)).is_valid(&serde_json::from_str(list).unwrap())
    }

    #[test]
    fn elements_are_compared_by_value() {
        for (list, expected) in [
            ("[]", true),
            ("[1, 2, 1.0]", false),
            ("[9007199254740992, 9007199254740993]", true),
            ("[1e400, 1e401, 10e400]", false),
            ("[0, -0.0]", false),
            (r#"[1, "1", true, null, [], {}]"#, true),
            ("[[], [[]], [[], []]]", true),
            ("[[1, 2], [2, 1], [1.0, 2e0]]", false),
            (r#"[{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}]"#, false),
            (r#"[{"a": {"b": 1}}, {"a": 1, "b": {}}]"#, true),
            (r#""aa""#, true),
        ] {
            assert_eq!(unique(list), expected, "{list}");
        }
        assert!(UniqueItems::new(&json!(false)).is_valid(&json!([1, 1])));
    }
}
