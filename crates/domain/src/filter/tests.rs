//! Filters and events that nobody would write: nothing panics, and what can't be looked into has no fields.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::*;
use crate::{
    EndpointId, Event, EventId, SourceCoordinates, Subscription, SubscriptionId, TenantId, Timestamp,
    index::SubscriptionIndex,
};

/// JSON of numbers at the ends of what can be written.
const NUMBERS: [&str; 10] = [
    "-0",
    "1e9223372036854775807",
    "1e-9223372036854775808",
    "1e99999999999999999999999999",
    "-1e-99999999999999999999999999",
    "0e99999999999999999999999999",
    "0.00000000000000000000000000000000001",
    "123456789012345678901234567890123456789012345678901234567890",
    "12345678901234567890.12345678901234567890e-9223372036854775807",
    "9223372036854775808",
];

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(NUMBERS.as_slice()).prop_map(|text| serde_json::from_str(text).unwrap()),
        ".{0,8}".prop_map(Value::from),
        "2026-01-31T12:00:00(Z|\\+01:00)".prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("a|b|x|0|all|any|not|field|operator|value", inner), 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A condition as it should be, with any value.
fn any_condition() -> impl Strategy<Value = Value> {
    let field = "(data|previous)(\\.(a|b|0|x)){0,3}|type|subject|/data/(a~1|~0)";
    (field, proptest::sample::select(Test::OPERATORS.as_slice()), any_json())
        .prop_map(|(field, operator, value)| json!({"field": field, "operator": operator, "value": value}))
}

fn any_filter() -> impl Strategy<Value = Value> {
    any_condition().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|filters| json!({"all": filters})),
            vec(inner.clone(), 0..3).prop_map(|filters| json!({"any": filters})),
            inner.prop_map(|filter| json!({"not": filter})),
        ]
    })
}

fn event(data: impl Into<Bytes>, previous: Option<String>) -> Event {
    Event {
        id: EventId::from_trusted("id"),
        producer_id: None,
        source: "orders".into(),
        tenant: TenantId::from_trusted("ten_1"),
        event_type: "a".into(),
        time: Timestamp::EPOCH,
        subject: None,
        ordering_key: None,
        data: data.into(),
        previous: previous.map(Bytes::from),
        content_type: "application/json".into(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
    }
}

fn subscription(filter: Filter) -> Subscription {
    Subscription {
        id: SubscriptionId::from_trusted("sub_1"),
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted("ep_1"),
        event_types: vec!["*".parse().unwrap()],
        filter: Some(filter),
        mapping: None,
        created_at: Timestamp::EPOCH,
    }
}

/// Whether matching, explaining and the index agree; none if it is no filter.
fn agreed(filter: &Value, event: &Event) -> Option<bool> {
    let subscription = subscription(Filter::from_json(filter).ok()?);
    let view = EventView::new(event);
    let matches = subscription.filter.as_ref().is_some_and(|filter| filter.matches(&view));
    assert_eq!(explain(&subscription, &view).is_match(), matches, "{filter}");
    let mut index = SubscriptionIndex::default();
    index.insert(subscription);
    assert!(!matches || index.candidates(&view).len() == 1, "{filter}");
    Some(matches)
}

proptest! {
    #[test]
    fn any_json_is_a_filter_or_is_refused(json in any_json()) {
        let _ = agreed(&json, &event("{}", None));
    }

    #[test]
    fn any_filter_holds_or_does_not(filter in any_filter(), data in any_json(), previous in any::<bool>(), before in any_json()) {
        let _ = agreed(&filter, &event(data.to_string(), previous.then(|| before.to_string())));
    }

    #[test]
    fn any_bytes_can_be_looked_into(filter in any_filter(), data in vec(any::<u8>(), 0..64), text in "[\\[{\"0-9:,a]{0,40}") {
        for data in [Bytes::from(data), Bytes::from(text)] {
            let _ = agreed(&filter, &event(data, None));
        }
    }
}

#[test]
fn what_is_nested_without_end_has_no_fields() {
    let exists = json!({"field": "data", "operator": "exists", "value": false});
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(agreed(&exists, &event(deep, None)), Some(true));
    }
    assert_eq!(agreed(&exists, &event("[".repeat(100_000), None)), Some(true));
}

#[test]
fn a_number_of_a_million_digits_is_compared_to_the_last() {
    let digits = "7".repeat(1_000_000);
    let equals = |value: &str| json!({"field": "data", "operator": "equals", "value": serde_json::from_str::<Value>(value).unwrap()});
    let over = json!({"field": "data", "operator": "greater_than", "value": 1});
    assert_eq!(agreed(&over, &event(digits.clone(), None)), Some(true));
    assert_eq!(agreed(&over, &event(format!("0.{digits}"), None)), Some(false));
    assert_eq!(agreed(&equals("7e0"), &event(format!("7.{}", "0".repeat(1_000_000)), None)), Some(true));
    assert_eq!(agreed(&equals("7e0"), &event(format!("7.{}1", "0".repeat(1_000_000)), None)), Some(false));
}
