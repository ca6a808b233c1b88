//! Parameters in a mapping: `{"$parameter": "name"}` is an expression that comes to the parameter's value.

use serde_json::{Map, Value, json};

use super::values::Values;

/// The key of the expression.
const KEY: &str = "$parameter";

/// Where a mapping names a parameter, and how: not at all if what stands there is no name.
pub(super) fn parameters(mapping: &Value) -> Vec<(String, Option<&str>)> {
    let mut found = Vec::new();
    collect(mapping, &mut String::new(), &mut found);
    found
}

/// The mapping with the parameters' values in the places of their names.
pub(super) fn bind(mapping: &Value, values: &Values<'_>) -> Value {
    match mapping {
        Value::Object(members) => match members.get(KEY) {
            Some(name) => json!({"$const": values.of(name.as_str().unwrap_or_default()).text}),
            None => Value::Object(members.iter().map(|(key, value)| member(key, value, values)).collect::<Map<_, _>>()),
        },
        Value::Array(elements) => elements.iter().map(|element| bind(element, values)).collect(),
        other => other.clone(),
    }
}

fn member(key: &str, value: &Value, values: &Values<'_>) -> (String, Value) {
    let bound = if is_verbatim(key) { value.clone() } else { bind(value, values) };
    (key.to_owned(), bound)
}

/// Whether what stands under a key is no expression.
fn is_verbatim(key: &str) -> bool {
    matches!(key, "$const" | "$default")
}

fn collect<'v>(value: &'v Value, at: &mut String, found: &mut Vec<(String, Option<&'v str>)>) {
    let mut below = |segment: &str, value: &'v Value| {
        let length = at.len();
        at.push('/');
        at.push_str(&segment.replace('~', "~0").replace('/', "~1"));
        collect(value, at, found);
        at.truncate(length);
    };
    match value {
        Value::Object(members) => match members.get(KEY) {
            Some(name) => found.push((at.clone(), name.as_str().filter(|_| members.len() == 1))),
            None => members.iter().filter(|(key, _)| !is_verbatim(key)).for_each(|(key, value)| below(key, value)),
        },
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| below(&index.to_string(), value));
        }
        _ => {}
    }
}
