//! What of a filter can be looked up.

use serde_json::Value;

use crate::filter::{Attribute, Condition, FieldPath, Filter, Root, Test};

/// Most values of an `in` that is looked up: each is an entry of the index.
pub(super) const MAX_VALUES: usize = 16;

/// A filter can hold only if `field` is there and equal to one of `values`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Predicate<'f> {
    pub(super) field: &'f FieldPath,
    pub(super) values: &'f [Value],
}

/// How few events a predicate is likely to let through: the least is the best.
type Rank = (u8, usize);

/// The predicate by which a filter's subscription is found: an `equals`, or an `in` of few values, that stands alone or
/// within `all`s, and of several the one that likely lets the fewest through. None if there is none. It depends on the
/// filter alone, so that it is the same when the subscription is removed.
pub(super) fn predicate(filter: &Filter) -> Option<Predicate<'_>> {
    ranked(filter).map(|(_, predicate)| predicate)
}

fn ranked(filter: &Filter) -> Option<(Rank, Predicate<'_>)> {
    match filter {
        Filter::All(filters) => filters.iter().filter_map(ranked).min_by_key(|(rank, _)| *rank),
        Filter::Condition(condition) => of_condition(condition),
        Filter::Any(_) | Filter::Not(_) => None,
    }
}

fn of_condition(condition: &Condition) -> Option<(Rank, Predicate<'_>)> {
    let values = match &condition.test {
        Test::Equals(value) => std::slice::from_ref(value),
        Test::In(values) if values.len() <= MAX_VALUES => values,
        _ => return None,
    };
    let field = &condition.field;
    // A bucket has one tenant, and mostly one type; and what is true or false says little.
    let says_little = matches!(field.root(), Root::Attribute(Attribute::Tenant | Attribute::Type))
        || values.iter().any(|value| matches!(value, Value::Null | Value::Bool(_)));
    Some(((u8::from(says_little), values.len()), Predicate { field, values }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(filter: &Value) -> Option<(String, Vec<Value>)> {
        let filter = Filter::from_json(filter).unwrap();
        predicate(&filter).map(|found| (found.field.to_string(), found.values.to_vec()))
    }

    fn equals(field: &str, value: &Value) -> Value {
        json!({"field": field, "operator": "equals", "value": value})
    }

    #[test]
    fn what_must_be_equal_is_found() {
        let status = equals("data.status", &json!("paid"));
        let over = json!({"field": "data.total", "operator": "greater_than", "value": 1});
        let several = json!({"field": "data.status", "operator": "in", "value": ["a", "b"]});
        let many = json!({"field": "data.n", "operator": "in", "value": (0..=MAX_VALUES).collect::<Vec<_>>()});
        let paid = Some(("data.status".to_owned(), vec![json!("paid")]));
        let table = [
            (status.clone(), paid.clone()),
            (json!({"all": [over, status]}), paid.clone()),
            (json!({"all": [over, {"all": [over, status]}]}), paid.clone()),
            (json!({"all": [equals("type", &json!("x")), equals("data.vip", &json!(true)), status]}), paid.clone()),
            (json!({"all": [several, status]}), paid),
            (several, Some(("data.status".to_owned(), vec![json!("a"), json!("b")]))),
            (equals("data.vip", &json!(true)), Some(("data.vip".to_owned(), vec![json!(true)]))),
            (equals("data.tags", &json!([1])), Some(("data.tags".to_owned(), vec![json!([1])]))),
            (over.clone(), None),
            (many, None),
            (json!({"any": [status, over]}), None),
            (json!({"not": status}), None),
            (json!({"all": [{"not": status}, {"any": [status]}]}), None),
        ];
        for (filter, wanted) in table {
            assert_eq!(found(&filter), wanted, "{filter}");
        }
    }
}
