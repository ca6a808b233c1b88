//! Each operator of a filter, seen from the receiver.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, Test, record, tests};

pub fn tests() -> Vec<Test> {
    tests![each_operator_lets_through_what_it_says]
}

/// The events: data, and the data before the change (`null` where there is none).
fn events() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("a", json!({"status": "paid", "total": 100, "tags": ["new", "vip"], "email": "ann@example.com"}), Value::Null),
        ("b", json!({"status": "open", "total": 99.5, "tags": [], "email": "bob@test.org"}), json!({"status": "paid"})),
        (
            "c",
            json!({"status": "paid in full", "total": 100.000_000_1, "note": null}),
            json!({"status": "paid in full"}),
        ),
        ("d", json!({"total": "100", "nested": [{"sku": "x-1"}], "a.b": 1}), json!({"total": "99"})),
    ]
}

/// A filter and the events that pass it.
fn filters() -> Vec<(Value, &'static str)> {
    let condition =
        |field: &str, operator: &str, value: Value| json!({"field": field, "operator": operator, "value": value});
    vec![
        (condition("data.status", "equals", json!("paid")), "a"),
        (condition("data.status", "not_equals", json!("paid")), "bcd"),
        (condition("data.status", "contains", json!("paid")), "ac"),
        (condition("data.tags", "contains", json!("vip")), "a"),
        (condition("data.status", "starts_with", json!("paid ")), "c"),
        (condition("data.total", "greater_than", json!(100)), "c"),
        (condition("data.total", "greater_than_or_equal", json!(100.0)), "ac"),
        (condition("data.total", "less_than", json!(100)), "b"),
        (condition("data.total", "less_than_or_equal", json!(100)), "ab"),
        (condition("data.status", "in", json!(["open", "paid"])), "ab"),
        (condition("data.note", "exists", json!(true)), "c"),
        (condition("data.status", "exists", json!(false)), "d"),
        (condition("data.email", "regex", json!("^[a-z]+@example\\.(com|net)$")), "a"),
        (condition("data.status", "changed", json!(true)), "b"),
        (condition("data.total", "changed", json!(true)), "bcd"),
        (condition("/data/nested/0/sku", "equals", json!("x-1")), "d"),
        (condition("/data/a.b", "exists", json!(true)), "d"),
        (condition("previous.status", "equals", json!("paid")), "b"),
        (condition("id", "in", json!(["a", "d"])), "ad"),
        (
            json!({"all": [condition("data.status", "starts_with", json!("paid")), condition("data.total", "less_than_or_equal", json!(100))]}),
            "a",
        ),
        (
            json!({"any": [condition("data.status", "equals", json!("open")), condition("data.total", "equals", json!("100"))]}),
            "bd",
        ),
        (json!({"not": condition("data.status", "exists", json!(true))}), "d"),
    ]
}

async fn each_operator_lets_through_what_it_says(context: Context) {
    let deployment = Deployment::start(&context, "filters").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let filters = filters();
    let mut hooks = Vec::new();
    for (index, (filter, _)) in filters.iter().enumerate() {
        let subscription = json!({"subscriptions": [{"event_types": ["*"], "filter": filter}]});
        hooks.push(Hook::create(&tenant, &receiver, &format!("/{index}"), subscription).await);
    }
    deployment.synced().await;

    for (id, mut data, previous) in events() {
        data["event"] = json!(id);
        let mut value = json!({"id": id, "type": "order.changed", "tenant": tenant.id, "data": data});
        if !previous.is_null() {
            value["previous"] = previous;
        }
        deployment.write(&record(&deployment.topics.events(), id, value.to_string(), &[])).await;
    }
    for (hook, (_, expected)) in hooks.iter().zip(&filters) {
        hook.wait_for(expected.len()).await;
    }
    // All that will be there is there: each event is matched with every filter at once.
    let total: usize = filters.iter().map(|(_, expected)| expected.len()).sum();
    let listed = tenant.deliveries("event_type=order.changed", total).await;
    assert_eq!(listed.len(), total, "deliveries in all");
    for (hook, (filter, expected)) in hooks.iter().zip(&filters) {
        let passed: BTreeSet<String> =
            hook.data().iter().map(|data| data["event"].as_str().unwrap().to_owned()).collect();
        let expected: BTreeSet<String> = expected.chars().map(String::from).collect();
        assert_eq!(passed, expected, "{filter}");
    }
}
