//! From JSON to a filter, with errors that name the place.

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::{Bound, Condition, FieldPath, Filter, InvalidFieldPath, Root, Test, TextPattern};

/// How deep filters nest, a single condition being 1 deep.
pub const MAX_DEPTH: usize = 8;
/// How many conditions a filter has in all.
pub const MAX_CONDITIONS: usize = 64;
/// How many of them are regular expressions: they take memory in every process that matches.
pub const MAX_REGEXES: usize = 8;
/// The largest value of a condition, in bytes of JSON.
pub const MAX_VALUE_BYTES: usize = 4_096;
/// The largest compiled regular expression, in bytes.
const MAX_REGEX_BYTES: usize = 256 * 1_024;
/// How deep a regular expression nests.
const MAX_REGEX_NESTING: u32 = 50;

/// Why a filter can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter{path}: {message}")]
pub struct InvalidFilter {
    /// The offending part, as a JSON pointer into the filter (`/all/2/operator`); empty for the whole.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl Filter {
    /// Parses a filter as written in the API.
    pub fn from_json(json: &Value) -> Result<Self, InvalidFilter> {
        Parser::default().filter(json, "", 1)
    }
}

/// Counts what the whole filter has of things that are limited.
#[derive(Default)]
struct Parser {
    conditions: usize,
    regexes: usize,
}

impl Parser {
    fn filter(&mut self, json: &Value, path: &str, depth: usize) -> Result<Filter, InvalidFilter> {
        if depth > MAX_DEPTH {
            return Err(invalid(path, format!("nested more than {MAX_DEPTH} deep: flatten it")));
        }
        let Value::Object(object) = json else {
            return Err(invalid(path, "not an object: give 'all', 'any', 'not', or a condition with 'field'"));
        };
        let Some(key) = ["all", "any", "not"].into_iter().find(|key| object.contains_key(*key)) else {
            return self.condition(object, path).map(Filter::Condition);
        };
        known_keys(object, &[key], path)?;
        let (inner, path) = (&object[key], format!("{path}/{key}"));
        Ok(match key {
            "all" => Filter::All(self.filters(inner, &path, depth)?),
            "any" => Filter::Any(self.filters(inner, &path, depth)?),
            _ => Filter::Not(Box::new(self.filter(inner, &path, depth + 1)?)),
        })
    }

    fn filters(&mut self, json: &Value, path: &str, depth: usize) -> Result<Vec<Filter>, InvalidFilter> {
        let Some(list) = json.as_array().filter(|list| !list.is_empty()) else {
            return Err(invalid(path, "not a list with at least one filter: add one, or remove this"));
        };
        list.iter()
            .enumerate()
            .map(|(index, inner)| self.filter(inner, &format!("{path}/{index}"), depth + 1))
            .collect()
    }

    fn condition(&mut self, object: &Map<String, Value>, path: &str) -> Result<Condition, InvalidFilter> {
        known_keys(object, &["field", "operator", "value"], path)?;
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(invalid(path, format!("more than {MAX_CONDITIONS} conditions: use fewer, or 'in'")));
        }
        let field_path = format!("{path}/field");
        let field: FieldPath = text(object, "field", path)?
            .parse()
            .map_err(|error: InvalidFieldPath| invalid(&field_path, error.to_string()))?;
        let test = self.test(text(object, "operator", path)?, object.get("value"), path)?;
        if test == Test::Changed && matches!(field.root(), Root::Attribute(_)) {
            return Err(invalid(&field_path, "'changed' compares 'data' with 'previous': use a field under 'data'"));
        }
        Ok(Condition { field, test })
    }

    fn test(&mut self, operator: &str, value: Option<&Value>, path: &str) -> Result<Test, InvalidFilter> {
        let value_path = format!("{path}/value");
        if value.is_some_and(|value| value.to_string().len() > MAX_VALUE_BYTES) {
            return Err(invalid(&value_path, format!("over {MAX_VALUE_BYTES} bytes: use a smaller one")));
        }
        let wanted = |what: &str| invalid(&value_path, format!("the operator '{operator}' takes {what}"));
        let any = || value.cloned().ok_or_else(|| wanted("a value: add it"));
        let text = || value.and_then(Value::as_str).ok_or_else(|| wanted("a text"));
        let bound = || value.and_then(Bound::from_json).ok_or_else(|| wanted("a number or a text"));
        Ok(match operator {
            "equals" => Test::Equals(any()?),
            "not_equals" => Test::NotEquals(any()?),
            "contains" => Test::Contains(any()?),
            "starts_with" => Test::StartsWith(text()?.to_owned()),
            "greater_than" => Test::GreaterThan(bound()?),
            "greater_than_or_equal" => Test::GreaterThanOrEqual(bound()?),
            "less_than" => Test::LessThan(bound()?),
            "less_than_or_equal" => Test::LessThanOrEqual(bound()?),
            "in" => {
                let list = value.and_then(Value::as_array).filter(|list| !list.is_empty());
                Test::In(list.ok_or_else(|| wanted("a list with at least one value"))?.clone())
            }
            "exists" => match value {
                None => Test::Exists(true),
                Some(value) => Test::Exists(value.as_bool().ok_or_else(|| wanted("true or false"))?),
            },
            "regex" => Test::Regex(self.regex(text()?, &value_path)?),
            "changed" => match value {
                None | Some(Value::Bool(true)) => Test::Changed,
                Some(_) => return Err(wanted("no value: remove it")),
            },
            other => {
                let known = Test::OPERATORS.join(", ");
                return Err(invalid(
                    &format!("{path}/operator"),
                    format!("unknown operator '{other}': use one of {known}"),
                ));
            }
        })
    }

    fn regex(&mut self, source: &str, path: &str) -> Result<TextPattern, InvalidFilter> {
        self.regexes += 1;
        if self.regexes > MAX_REGEXES {
            return Err(invalid(path, format!("more than {MAX_REGEXES} regular expressions: join some with '|'")));
        }
        RegexBuilder::new(source)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_REGEX_BYTES)
            .nest_limit(MAX_REGEX_NESTING)
            .build()
            .map(TextPattern)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => invalid(
                    path,
                    "the regular expression is too large: use smaller repetitions, and [0-9A-Za-z_] for \\w",
                ),
                error => invalid(path, format!("not a regular expression that takes linear time: {error}")),
            })
    }
}

impl Bound {
    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self::Number(number.clone())),
            Value::String(text) => Some(Self::Text(text.clone())),
            _ => None,
        }
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str, path: &str) -> Result<&'a str, InvalidFilter> {
    match object.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid(&format!("{path}/{key}"), "not a text")),
        None => Err(invalid(path, format!("'{key}' is missing: give 'all', 'any', 'not', or 'field' with 'operator'"))),
    }
}

fn known_keys(object: &Map<String, Value>, known: &[&str], path: &str) -> Result<(), InvalidFilter> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let unknown: String = unknown.chars().take(64).collect();
            Err(invalid(path, format!("unexpected '{unknown}' beside '{}': remove it", known.join("', '"))))
        }
    }
}

fn invalid(path: &str, message: impl Into<String>) -> InvalidFilter {
    InvalidFilter { path: path.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(json: &Value) -> String {
        Filter::from_json(json).unwrap_err().to_string()
    }

    fn nested(depth: usize) -> Value {
        (1..depth).fold(json!({"field": "type", "operator": "exists"}), |inner, _| json!({"not": inner}))
    }

    fn all_of(count: usize, condition: &Value) -> Value {
        json!({"all": vec![condition; count]})
    }

    #[test]
    fn json_round_trips_to_the_last_digit() {
        let text = r#"{"all":[{"field":"data.total","operator":"greater_than","value":1.10000000000000000000000001},{"any":[{"not":{"field":"/data/a~1b","operator":"in","value":[1,"x",null]}},{"field":"data.x","operator":"changed"},{"field":"subject","operator":"regex","value":"^a+$"},{"field":"data","operator":"exists","value":false}]}]}"#;
        let filter: Filter = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), text);
        assert_eq!(Filter::from_json(&filter.to_json()).unwrap(), filter);
    }

    #[test]
    fn every_operator_is_known_by_its_name() {
        for operator in Test::OPERATORS {
            let value = match operator {
                "exists" | "changed" => json!(true),
                "in" => json!(["x"]),
                _ => json!("x"),
            };
            let filter = Filter::from_json(&json!({"field": "data.x", "operator": operator, "value": value})).unwrap();
            let Filter::Condition(condition) = filter else { panic!("{operator}") };
            assert_eq!(condition.test.operator(), operator);
        }
    }

    #[test]
    fn a_refusal_names_the_place_and_the_fix() {
        let table = [
            (json!([]), "filter: not an object"),
            (json!({}), "filter: 'field' is missing"),
            (json!({"field": "data.x"}), "filter: 'operator' is missing"),
            (json!({"all": []}), "filter/all: not a list with at least one filter"),
            (json!({"any": {}}), "filter/any: not a list"),
            (json!({"not": []}), "filter/not: not an object"),
            (json!({"all": [], "any": []}), "filter: unexpected 'any' beside 'all'"),
            (json!({"field": "data.x", "operator": "exists", "x": 1}), "filter: unexpected 'x' beside"),
            (json!({"all": [{"field": "x", "operator": "exists"}]}), "filter/all/0/field: unknown field 'x'"),
            (json!({"not": {"field": 1, "operator": "exists"}}), "filter/not/field: not a text"),
            (
                json!({"any": [nested(1), {"field": "data", "operator": "like"}]}),
                "filter/any/1/operator: unknown operator 'like': use one of equals",
            ),
            (json!({"field": "data.x", "operator": "equals"}), "filter/value: the operator 'equals' takes a value"),
            (
                json!({"field": "data.x", "operator": "starts_with", "value": 1}),
                "filter/value: the operator 'starts_with' takes a text",
            ),
            (json!({"field": "data.x", "operator": "less_than", "value": true}), "takes a number or a text"),
            (json!({"field": "data.x", "operator": "in", "value": []}), "takes a list"),
            (json!({"field": "data.x", "operator": "exists", "value": "yes"}), "takes true or false"),
            (json!({"field": "data.x", "operator": "changed", "value": false}), "takes no value"),
            (json!({"field": "type", "operator": "changed"}), "filter/field: 'changed' compares"),
            (json!({"field": "data.x", "operator": "regex", "value": "(a"}), "filter/value: not a regular expression"),
            (
                json!({"field": "data.x", "operator": "regex", "value": "(?=a)"}),
                "filter/value: not a regular expression",
            ),
            (json!({"field": "data.x", "operator": "regex", "value": "\\w{1000}"}), "too large"),
            (
                json!({"field": "data.x", "operator": "regex", "value": "(".repeat(60) + &")".repeat(60)}),
                "filter/value: not a regular",
            ),
            (
                json!({"field": "data.x", "operator": "equals", "value": "x".repeat(MAX_VALUE_BYTES)}),
                "filter/value: over 4096",
            ),
        ];
        for (json, part) in table {
            let message = refusal(&json);
            assert!(message.contains(part), "{json}: {message}");
        }
    }

    #[test]
    fn the_limits_are_exact() {
        assert!(Filter::from_json(&nested(MAX_DEPTH)).is_ok());
        assert!(refusal(&nested(MAX_DEPTH + 1)).contains("more than 8 deep"));
        assert!(Filter::from_json(&all_of(MAX_CONDITIONS, &nested(1))).is_ok());
        assert!(refusal(&all_of(MAX_CONDITIONS + 1, &nested(1))).contains("more than 64 conditions"));
        let regex = json!({"field": "type", "operator": "regex", "value": "a"});
        assert!(Filter::from_json(&all_of(MAX_REGEXES, &regex)).is_ok());
        assert!(refusal(&all_of(MAX_REGEXES + 1, &regex)).contains("more than 8 regular"));
    }
}
