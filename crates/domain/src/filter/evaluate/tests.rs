//! Each operator against a table, and the laws that hold of all filters.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{EventId, SourceCoordinates, TenantId, Timestamp};

const DATA: &str = r#"{"total": 100.50, "big": 9007199254740993, "status": "paid", "tags": ["new", 7, {"a": 1}],
    "customer": {"email": "ann@example.com", "vip": true}, "note": null, "a.b": 1, "0": "zero",
    "at": "2026-01-31T12:00:00+01:00"}"#;
const PREVIOUS: &str = r#"{"total": 100.5, "status": "open", "tags": ["new", 7.0, {"a": 1}], "gone": 1, "note": null}"#;

fn event() -> Event {
    Event {
        id: EventId::from_trusted("id,6:orders,-,1:1"),
        producer_id: Some("evt-1".into()),
        source: "orders".into(),
        tenant: TenantId::from_trusted("ten_1"),
        event_type: "order.updated".into(),
        time: Timestamp::from_millis(1_700_000_000_000),
        subject: None,
        ordering_key: None,
        data: Bytes::from_static(DATA.as_bytes()),
        previous: Some(Bytes::from_static(PREVIOUS.as_bytes())),
        content_type: "application/json".into(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
    }
}

fn holds_for(event: &Event, field: &str, operator: &str, value: Value) -> bool {
    let mut json = json!({"field": field, "operator": operator});
    if operator != "changed" {
        json["value"] = value;
    }
    Filter::from_json(&json).unwrap().matches(&EventView::new(event))
}

fn holds(field: &str, operator: &str, value: Value) -> bool {
    holds_for(&event(), field, operator, value)
}

#[track_caller]
fn check(table: &[(&str, &str, Value, bool)]) {
    for (field, operator, value, wanted) in table {
        assert_eq!(holds(field, operator, value.clone()), *wanted, "{field} {operator} {value}");
    }
}

#[test]
fn equality_is_by_value() {
    check(&[
        ("data.total", "equals", json!(100.5), true),
        ("data.total", "equals", json!("100.5"), false),
        ("data.big", "equals", json!(9_007_199_254_740_992_i64), false),
        ("data.status", "equals", json!("paid"), true),
        ("data.status", "equals", json!("Paid"), false),
        ("data.note", "equals", json!(null), true),
        ("data.missing", "equals", json!(null), false),
        ("data.customer", "equals", json!({"vip": true, "email": "ann@example.com"}), true),
        ("data.tags", "equals", json!(["new", 7.0, {"a": 1.0}]), true),
        ("data.status", "not_equals", json!("paid"), false),
        ("data.status", "not_equals", json!("open"), true),
        ("data.missing", "not_equals", json!("open"), true),
        ("data.status", "in", json!(["open", "paid"]), true),
        ("data.total", "in", json!([1, 2]), false),
        ("data.missing", "in", json!([null]), false),
    ]);
}

#[test]
fn text_and_lists_are_looked_into() {
    check(&[
        ("data.customer.email", "contains", json!("@example."), true),
        ("data.customer.email", "contains", json!("@Example."), false),
        ("data.tags", "contains", json!("new"), true),
        ("data.tags", "contains", json!("ne"), false),
        ("data.tags", "contains", json!({"a": 1}), true),
        ("data.total", "contains", json!(1), false),
        ("data.customer", "contains", json!("email"), false),
        ("data.status", "starts_with", json!("pa"), true),
        ("data.status", "starts_with", json!("aid"), false),
        ("data.total", "starts_with", json!("1"), false),
        ("data.status", "regex", json!("^p.+d$"), true),
        ("data.status", "regex", json!("ai"), true),
        ("data.status", "regex", json!("^ai"), false),
        ("data.big", "regex", json!("9"), false),
        ("data.missing", "regex", json!(""), false),
    ]);
}

#[test]
fn order_is_exact_and_within_a_kind() {
    check(&[
        ("data.big", "greater_than", json!(9_007_199_254_740_992_i64), true),
        ("data.big", "less_than", json!(1e300), true),
        ("data.total", "greater_than", json!(100.5), false),
        ("data.total", "greater_than_or_equal", json!(100.5), true),
        ("data.total", "less_than", json!(100.51), true),
        ("data.total", "less_than_or_equal", json!(100), false),
        ("data.total", "less_than", json!("999"), false),
        ("data.status", "greater_than", json!("open"), true),
        ("data.at", "less_than", json!("2026-01-31T11:30:00Z"), true),
        ("data.at", "greater_than_or_equal", json!("2026-01-31T11:00:00.000Z"), true),
        ("data.at", "less_than", json!("2026-02"), true),
        ("data.note", "less_than", json!(1), false),
        ("data.missing", "less_than", json!(1), false),
        ("time", "greater_than", json!("2023-11-14T22:13:19.999Z"), true),
    ]);
}

#[test]
fn paths_lead_where_they_say() {
    check(&[
        ("data", "exists", json!(true), true),
        ("data.tags.1", "equals", json!(7), true),
        ("data.tags.2.a", "equals", json!(1), true),
        ("data.tags.01", "exists", json!(true), false),
        ("data.tags.3", "exists", json!(false), true),
        ("data.0", "equals", json!("zero"), true),
        ("/data/a.b", "equals", json!(1), true),
        ("data.a.b", "exists", json!(true), false),
        ("data.note", "exists", json!(true), true),
        ("data.note.x", "exists", json!(false), true),
        ("previous.status", "equals", json!("open"), true),
    ]);
}

#[test]
fn attributes_are_text() {
    check(&[
        ("type", "equals", json!("order.updated"), true),
        ("id", "equals", json!("evt-1"), true),
        ("source", "starts_with", json!("ord"), true),
        ("tenant", "equals", json!("ten_1"), true),
        ("time", "equals", json!("2023-11-14T22:13:20.000Z"), true),
        ("subject", "exists", json!(false), true),
        ("subject", "equals", json!(""), false),
    ]);
}

#[test]
fn changed_compares_with_before() {
    check(&[
        ("data.status", "changed", json!(null), true),
        ("data.total", "changed", json!(null), false),
        ("data.tags", "changed", json!(null), false),
        ("data.gone", "changed", json!(null), true),
        ("data.big", "changed", json!(null), true),
        ("data.missing", "changed", json!(null), false),
        ("previous.status", "changed", json!(null), true),
        ("data", "changed", json!(null), true),
    ]);
    let created = Event { previous: None, ..event() };
    assert!(!holds_for(&created, "data.status", "changed", json!(null)));
}

#[test]
fn a_payload_that_can_not_be_parsed_has_no_fields() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let too_deep = Event { data: deep.into(), ..event() };
    let text = Event { content_type: "text/plain".into(), ..event() };
    for event in [too_deep, text] {
        assert!(holds_for(&event, "data", "exists", json!(false)));
        assert!(!holds_for(&event, "data.status", "changed", json!(null)));
        assert!(holds_for(&event, "type", "equals", json!("order.updated")));
    }
}

#[test]
fn the_payload_is_parsed_only_when_it_is_looked_into() {
    let event = event();
    let view = EventView::new(&event);
    let by_type = Filter::from_json(&json!({"field": "type", "operator": "exists"})).unwrap();
    assert!(by_type.matches(&view) && view.parsed.data.get().is_none() && !by_type.needs_body());
    let by_data = Filter::from_json(&json!({"not": {"any": [{"field": "data.x", "operator": "exists"}]}})).unwrap();
    assert!(by_data.matches(&view) && view.parsed.data.get().is_some() && by_data.needs_body());
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let field = prop_oneof![Just("data.total"), Just("data.missing"), Just("data.status"), Just("type")];
    let test = prop_oneof![
        (0..200i64).prop_map(|n| json!({"operator": "greater_than", "value": n})),
        "[a-z]{0,2}".prop_map(|text| json!({"operator": "contains", "value": text})),
        any::<bool>().prop_map(|wanted| json!({"operator": "exists", "value": wanted})),
        "[a-z]{1,2}".prop_map(|text| json!({"operator": "regex", "value": text})),
    ];
    let condition = (field, test).prop_map(|(field, mut json)| {
        json["field"] = field.into();
        Filter::from_json(&json).unwrap()
    });
    condition.prop_recursive(4, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Filter::All),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

proptest! {
    #[test]
    fn filters_obey_de_morgan_and_survive_json(filters in proptest::collection::vec(any_filter(), 1..3)) {
        let event = event();
        let view = EventView::new(&event);
        let negated = filters.iter().cloned().map(|filter| Filter::Not(Box::new(filter))).collect();
        let none = Filter::Not(Box::new(Filter::Any(filters.clone())));
        prop_assert_eq!(none.matches(&view), Filter::All(negated).matches(&view));
        for filter in filters {
            let back: Filter = serde_json::from_str(&serde_json::to_string(&filter).unwrap()).unwrap();
            prop_assert_eq!(back, filter);
        }
    }
}
