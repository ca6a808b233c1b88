//! JSON that is kept as it was written.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// A JSON document with its text: members keep their order, numbers their digits. Two are equal if their values are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// Takes a text if it is JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// What it says; none if it is nested over 128 deep.
    pub fn value(&self) -> Option<Value> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() || self.value().is_some_and(|value| Some(value) == other.value())
    }
}

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("a value is JSON"))
    }
}

impl From<Box<RawValue>> for JsonText {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw)
    }
}

impl From<JsonText> for Box<RawValue> {
    fn from(text: JsonText) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_and_values_are_compared() {
        let text = r#"{"b": 1.10, "a": [12345678901234567890123]}"#;
        let json = JsonText::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(json, JsonText::parse(r#"{"a":[12345678901234567890123],"b":1.10}"#).unwrap());
        assert_ne!(json, JsonText::parse(r#"{"a":[12345678901234567890124],"b":1.10}"#).unwrap());
        assert!(JsonText::parse("{").is_err());
    }
}
