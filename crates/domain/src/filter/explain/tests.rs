//! What is said of each kind of failure, and that it agrees with matching.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{EndpointId, Event, EventId, SourceCoordinates, SubscriptionId, Timestamp};

fn event() -> Event {
    Event {
        id: EventId::from_trusted("id"),
        producer_id: None,
        source: "orders".into(),
        tenant: TenantId::from_trusted("ten_1"),
        event_type: "order.updated".into(),
        time: Timestamp::EPOCH,
        subject: None,
        ordering_key: None,
        data: Bytes::from_static(br#"{"total": 99.50, "status": "open", "note": null}"#),
        previous: Some(Bytes::from_static(br#"{"status": "open"}"#)),
        content_type: "application/json".into(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
    }
}

fn subscription(filter: Option<Value>) -> Subscription {
    Subscription {
        id: SubscriptionId::from_trusted("sub_1"),
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted("ep_1"),
        event_types: vec!["order.*".parse().unwrap()],
        filter: filter.map(|json| Filter::from_json(&json).unwrap()),
        mapping: None,
        created_at: Timestamp::EPOCH,
    }
}

fn said(filter: Value) -> String {
    explain(&subscription(Some(filter)), &EventView::new(&event())).to_string()
}

fn over(bound: i64) -> Value {
    json!({"field": "data.total", "operator": "greater_than", "value": bound})
}

fn status(value: &str) -> Value {
    json!({"field": "data.status", "operator": "equals", "value": value})
}

#[test]
fn tenant_and_type_come_before_the_filter() {
    let event = event();
    let view = EventView::new(&event);
    let foreign = Subscription { tenant: TenantId::from_trusted("ten_2"), ..subscription(Some(over(100))) };
    let said = explain(&foreign, &view).to_string();
    assert_eq!(said, "not matched: the event is of tenant ten_1, the subscription of ten_2");
    let types = ["invoice.*", "order.created"].map(|pattern| pattern.parse().unwrap()).to_vec();
    let said = explain(&Subscription { event_types: types, ..subscription(Some(over(100))) }, &view).to_string();
    assert_eq!(said, "not matched: the event's type is order.updated, wanted: invoice.*, order.created");
    assert!(explain(&subscription(None), &view).is_match());
}

#[test]
fn the_first_condition_that_failed_is_named_with_what_was_expected_and_found() {
    let table = [
        (over(99), "matched"),
        (over(100), "not matched: filter: data.total is 99.50; wanted: greater_than 100"),
        (
            json!({"all": [over(1), status("paid"), over(100)]}),
            r#"not matched: filter/all/1: data.status is "open"; wanted: equals "paid""#,
        ),
        (
            json!({"all": [{"any": [status("paid"), over(100)]}]}),
            r#"not matched: filter/all/0/any/0: data.status is "open"; wanted: equals "paid" (one of filter/all/0/any would be enough, and this is its first)"#,
        ),
        (
            json!({"not": status("open")}),
            r#"not matched: filter/not: data.status is "open"; wanted: not equals "open""#,
        ),
        (
            json!({"not": {"any": [over(100), status("open")]}}),
            r#"not matched: filter/not/any/1: data.status is "open"; wanted: not equals "open""#,
        ),
        (json!({"not": {"all": [over(1), status("paid")]}}), "matched"),
        (
            json!({"field": "data.sum", "operator": "exists"}),
            "not matched: filter: data.sum is missing; wanted: exists true",
        ),
        (
            json!({"field": "data.status", "operator": "changed"}),
            r#"not matched: filter: data.status is "open"; before the change it is "open"; wanted: changed"#,
        ),
        (json!({"field": "data.total", "operator": "changed"}), "matched"),
        (
            json!({"field": "data.note", "operator": "less_than", "value": 1}),
            "not matched: filter: data.note is null; wanted: less_than 1",
        ),
    ];
    for (filter, wanted) in table {
        assert_eq!(said(filter.clone()), wanted, "{filter}");
    }
}

#[test]
fn a_payload_that_can_not_be_looked_into_is_told_from_a_missing_field() {
    let text = Event { content_type: "text/plain".into(), previous: None, ..event() };
    let view = EventView::new(&text);
    let explained = explain(&subscription(Some(over(1))), &view).to_string();
    assert!(explained.contains("data.total is missing, there is no JSON to look for it in"), "{explained}");
    let changed = json!({"field": "data.status", "operator": "changed"});
    let Explanation::Filter(failed) = explain(&subscription(Some(changed)), &view) else { panic!("it has no data") };
    assert_eq!((failed.found, failed.before), (Found::Unreadable, Some(Found::Unreadable)));
}

#[test]
fn what_is_shown_is_bounded() {
    let large = format!(r#"{{"status": "{}"}}"#, "é".repeat(500_000));
    let event = Event { data: large.into(), ..event() };
    let Explanation::Filter(failed) = explain(&subscription(Some(status("paid"))), &EventView::new(&event)) else {
        panic!("it is not paid")
    };
    let Found::Value(Shown::Cut { beginning }) = failed.found else { panic!("it is not small") };
    assert!(beginning.starts_with("\"éé") && (MAX_SHOWN_BYTES - 1..=MAX_SHOWN_BYTES).contains(&beginning.len()));
    let exactly = Value::from("x".repeat(MAX_SHOWN_BYTES - 2));
    assert_eq!(Shown::of(&exactly), Shown::Whole(exactly));
}

#[test]
fn as_json_it_has_the_same_for_programs() {
    let explained = explain(&subscription(Some(json!({"all": [over(100)]}))), &EventView::new(&event()));
    let json = serde_json::to_string(&explained).unwrap();
    let wanted = r#"{"outcome":"filter","pointer":"/all/0","field":"data.total","operator":"greater_than","expected":100,"found":{"value":99.50},"negated":false}"#;
    assert_eq!(json, wanted);
    assert_eq!(serde_json::to_value(Explanation::Matched).unwrap(), json!({"outcome": "matched"}));
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let condition = prop_oneof![
        (90..110i64).prop_map(over),
        "open|paid".prop_map(|text| status(&text)),
        "data\\.(total|status|gone|note)".prop_map(|field| json!({"field": field, "operator": "exists"})),
        "data\\.(total|status|gone)".prop_map(|field| json!({"field": field, "operator": "changed"})),
    ];
    let condition = condition.prop_map(|json| Filter::from_json(&json).unwrap());
    condition.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Filter::All),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

proptest! {
    #[test]
    fn it_agrees_with_matching_and_points_at_a_condition_that_decides(filter in any_filter()) {
        let event = event();
        let view = EventView::new(&event);
        let subscription = Subscription { filter: Some(filter.clone()), ..subscription(None) };
        let explained = explain(&subscription, &view);
        prop_assert_eq!(explained.is_match(), filter.matches(&view));
        if let Explanation::Filter(failed) = explained {
            let json = filter.to_json();
            let pointed = json.pointer(&failed.pointer).and_then(|json| Filter::from_json(json).ok());
            let Some(Filter::Condition(condition)) = pointed else { panic!("{} in {json}", failed.pointer) };
            prop_assert_eq!(condition.holds(&view), failed.negated);
            prop_assert_eq!(condition.field.as_str(), failed.field);
        }
    }
}
