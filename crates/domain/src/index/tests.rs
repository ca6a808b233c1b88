//! What is found, and that with the filters it is what a linear scan finds.

mod random;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    EndpointId, Event, EventId, SourceCoordinates, Subscription, SubscriptionId, TenantId, Timestamp,
    filter::{EventView, Filter, Root},
};

fn tenant(number: usize) -> TenantId {
    TenantId::from_trusted(format!("ten_{number}"))
}

fn subscription(id: usize, owner: usize, patterns: &[&str], filter: Option<Filter>) -> Subscription {
    Subscription {
        id: SubscriptionId::from_trusted(format!("sub_{id:03}")),
        tenant: tenant(owner),
        endpoint: EndpointId::from_trusted("ep_1"),
        event_types: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        filter,
        mapping: None,
        created_at: Timestamp::EPOCH,
    }
}

fn event(owner: usize, event_type: &str, data: impl Into<Bytes>) -> Event {
    Event {
        id: EventId::from_trusted("id"),
        producer_id: None,
        source: "orders".into(),
        tenant: tenant(owner),
        event_type: event_type.to_owned(),
        time: Timestamp::EPOCH,
        subject: None,
        ordering_key: None,
        data: data.into(),
        previous: None,
        content_type: "application/json".into(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
    }
}

fn ids(found: &[Arc<Subscription>]) -> Vec<&str> {
    let mut ids: Vec<_> = found.iter().map(|subscription| subscription.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

fn found(index: &SubscriptionIndex, event: &Event) -> Vec<String> {
    ids(&index.candidates(&EventView::new(event))).into_iter().map(str::to_owned).collect()
}

fn filter(json: &Value) -> Option<Filter> {
    Filter::from_json(json).ok()
}

fn equals(field: &str, value: &Value) -> Option<Filter> {
    filter(&json!({"field": field, "operator": "equals", "value": value}))
}

#[test]
fn a_subscription_with_several_matching_patterns_is_found_once() {
    let mut index = SubscriptionIndex::default();
    index.insert(subscription(1, 1, &["order.created", "order.*", "*", "*"], None));
    index.insert(subscription(2, 1, &["order.created", "*"], equals("data.n", &json!(1))));
    assert_eq!(found(&index, &event(1, "order.created", r#"{"n": 1}"#)), ["sub_001", "sub_002"]);
}

#[test]
fn another_tenant_finds_nothing() {
    let mut index = SubscriptionIndex::default();
    index.insert(subscription(1, 1, &["*"], None));
    index.insert(subscription(2, 3, &["*"], None));
    assert!(found(&index, &event(2, "order.created", "{}")).is_empty());
}

#[test]
fn a_replaced_subscription_is_no_longer_found_by_what_it_asked_for() {
    let mut index = SubscriptionIndex::default();
    index.insert(subscription(1, 1, &["order.*"], equals("data.n", &json!(1))));
    index.insert(subscription(1, 1, &["order.*"], equals("data.n", &json!(2))));
    assert!(found(&index, &event(1, "order.created", r#"{"n": 1}"#)).is_empty());
    assert_eq!(found(&index, &event(1, "order.created", r#"{"n": 2}"#)), ["sub_001"]);
    index.insert(subscription(1, 1, &["invoice.paid"], None));
    assert!(found(&index, &event(1, "order.created", r#"{"n": 2}"#)).is_empty());
    assert_eq!(found(&index, &event(1, "invoice.paid", "{}")), ["sub_001"]);
    assert_eq!(index.len(), 1);
}

#[test]
fn nothing_is_left_once_all_are_removed() {
    let mut index = SubscriptionIndex::default();
    let several = filter(&json!({"field": "data.n", "operator": "in", "value": [1, 1.0, "x"]}));
    let all = [
        subscription(1, 1, &["order.*", "*"], None),
        subscription(2, 2, &["a", "a"], several.clone()),
        subscription(3, 2, &["a", "b.*"], several),
    ];
    for subscription in &all {
        index.insert(subscription.clone());
    }
    assert_eq!(found(&index, &event(2, "a", r#"{"n": 1e0}"#)), ["sub_002", "sub_003"]);
    for subscription in &all {
        index.remove(&subscription.id);
    }
    index.remove(&SubscriptionId::from_trusted("sub_unknown"));
    assert!(index.is_empty() && index.holds_nothing());
}

#[test]
fn only_those_whose_value_is_the_events_are_candidates() {
    let mut index = SubscriptionIndex::default();
    for n in 0..100 {
        index.insert(subscription(n, 1, &["order.created"], equals("data.customer.n", &json!(n))));
    }
    let over = json!({"field": "data.total", "operator": "greater_than", "value": 1});
    index.insert(subscription(100, 1, &["order.created"], filter(&over)));
    let of = |data: &'static str| found(&index, &event(1, "order.created", data));
    assert_eq!(of(r#"{"customer": {"n": 7.0}}"#), ["sub_007", "sub_100"]);
    assert_eq!(of(r#"{"customer": {"n": "7"}}"#), ["sub_100"]);
    assert_eq!(of(r#"{"customer": null}"#), ["sub_100"]);
}

#[test]
fn a_large_list_shrinks_and_finds_what_is_left() {
    let mut index = SubscriptionIndex::default();
    for n in 0..1_000 {
        index.insert(subscription(n, 1, &["*"], None));
    }
    assert_eq!(found(&index, &event(1, "a", "{}")).len(), 1_000);
    for n in (0..1_000).filter(|n| n % 100 != 0) {
        index.remove(&SubscriptionId::from_trusted(format!("sub_{n:03}")));
    }
    let left: Vec<_> = (0..10).map(|n| format!("sub_{:03}", n * 100)).collect();
    assert_eq!(found(&index, &event(1, "a", "{}")), left);
}

#[test]
fn the_payload_is_parsed_only_if_a_bucket_of_the_event_asks_for_it() {
    let mut index = SubscriptionIndex::default();
    index.insert(subscription(1, 1, &["order.created"], equals("data.n", &json!(1))));
    index.insert(subscription(2, 1, &["order.*"], equals("subject", &json!("s"))));
    index.insert(subscription(3, 1, &["invoice.paid"], equals("previous.n", &json!(1))));
    let parses = |event_type: &str| {
        let event = event(1, event_type, r#"{"n": 1}"#);
        let view = EventView::new(&event);
        index.candidates(&view);
        let roots = index.looks_into(&view);
        assert_eq!(view.is_parsed(), !roots.is_empty());
        (roots.has(Root::Data), roots.has(Root::Previous))
    };
    assert_eq!(parses("order.created"), (true, false));
    assert_eq!(parses("order.paid"), (false, false));
    assert_eq!(parses("invoice.paid"), (false, true));
    assert_eq!(parses("customer.created"), (false, false));
}
