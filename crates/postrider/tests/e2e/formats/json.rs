//! JSON: plain, and `CloudEvents` in binary and structured mode, one by one and in batches.

use std::collections::BTreeMap;

use postrider_testkit::eventually;
use serde_json::{Value, json};

use super::produce;
use crate::support::{Context, Deployment, Hook, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![what_python_writes_as_json_arrives_in_every_mode]
}

async fn what_python_writes_as_json_arrives_in_every_mode(context: Context) {
    let deployment = Deployment::start(&context, "python-json").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/all", json!({})).await;
    let cloudevents = json!({"body": "cloudevents_structured"});
    let as_events = Hook::create(&tenant, &receiver, "/cloudevents", cloudevents).await;
    deployment.synced().await;

    produce(&context, "json_events.py", &deployment.topics.events(), &tenant.id, &[]).await;

    hook.wait_for(6).await;
    let mut by_number: BTreeMap<u64, Value> = BTreeMap::new();
    for data in hook.data() {
        assert_eq!(data["name"], "Zoë", "{data}");
        by_number.insert(data["number"].as_u64().unwrap(), data["shape"].clone());
    }
    let shapes: Vec<&str> = by_number.values().map(|shape| shape.as_str().unwrap()).collect();
    assert_eq!(shapes, ["plain", "binary", "structured", "batch", "batch", "batch"]);

    // What a CloudEvent says of itself stays as it was.
    let events: BTreeMap<String, Value> = as_events
        .wait_for(6)
        .await
        .iter()
        .map(|received| serde_json::from_slice::<Value>(&received.body).unwrap())
        .map(|event| (event["id"].as_str().unwrap().to_owned(), event))
        .collect();
    for number in 1..=5 {
        let event = &events[&format!("ce-{number}")];
        assert_eq!(event["source"], "https://shop.example/orders", "{event}");
        assert_eq!(event["subject"], format!("order-{number}"), "{event}");
        assert_eq!(event["time"], format!("2026-01-31T12:00:0{number}.000Z"), "{event}");
        assert_eq!(event["type"], "order.placed", "{event}");
    }

    // What is no event, and no mistake either.
    let text = eventually(LIMIT, "the records without a value to be counted", async || {
        let text = deployment.metrics().await?;
        text.lines().any(|line| is_empty_count(line, "2")).then_some(text)
    });
    let text = text.await;
    assert!(!text.contains("postrider_rejected_total{"), "nothing is rejected: {text}");
}

fn is_empty_count(line: &str, count: &str) -> bool {
    line.starts_with("postrider_matcher_events_total{")
        && line.contains(r#"outcome="empty""#)
        && line.rsplit_once(' ').is_some_and(|(_, value)| value == count)
}
