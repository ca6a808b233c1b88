//! Event-type patterns, tenants, and several subscriptions of one endpoint.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        exact_prefix_and_any_patterns_choose_what_they_say,
        an_event_goes_once_to_an_endpoint_and_never_to_another_tenant
    ]
}

async fn exact_prefix_and_any_patterns_choose_what_they_say(context: Context) {
    let deployment = Deployment::start(&context, "patterns").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let exact = Hook::create(&tenant, &receiver, "/exact", json!({"event_types": ["order.created"]})).await;
    let prefix = Hook::create(&tenant, &receiver, "/prefix", json!({"event_types": ["order.*"]})).await;
    let any = Hook::create(&tenant, &receiver, "/any", json!({"event_types": ["*"]})).await;
    deployment.synced().await;

    let types = ["order.created", "order.paid", "order.line.added", "order", "orders.created", "invoice.created"];
    for event_type in types {
        deployment.write(&event(&deployment, &tenant, event_type, event_type, &json!(event_type))).await;
    }
    any.wait_for(types.len()).await;
    prefix.wait_for(3).await;
    exact.wait_for(1).await;
    // A last one for all, so that one too many of the others would be there by now.
    for id in ["last-1", "last-2"] {
        deployment.write(&event(&deployment, &tenant, id, "order.created", &json!("last"))).await;
    }
    any.wait_for(types.len() + 2).await;
    prefix.wait_for(5).await;
    exact.wait_for(3).await;

    let set = |hook: &Hook<'_>| -> BTreeSet<String> {
        hook.data().iter().filter_map(Value::as_str).filter(|text| *text != "last").map(str::to_owned).collect()
    };
    assert_eq!(set(&any), BTreeSet::from(types.map(str::to_owned)));
    let expected = ["order.created", "order.paid", "order.line.added"].map(str::to_owned);
    assert_eq!(set(&prefix), BTreeSet::from(expected));
    assert_eq!(set(&exact), BTreeSet::from(["order.created".to_owned()]));
    assert_eq!((exact.count(), prefix.count(), any.count()), (3, 5, types.len() + 2));
}

async fn an_event_goes_once_to_an_endpoint_and_never_to_another_tenant(context: Context) {
    let deployment = Deployment::start(&context, "once").await;
    let (ours, theirs) = (deployment.tenant().await, deployment.tenant().await);
    let receiver = deployment.receiver().await;
    let overlapping = json!({"subscriptions": [
        {"event_types": ["order.created"]},
        {"event_types": ["order.*", "*"]},
    ]});
    let hook = Hook::create(&ours, &receiver, "/ours", overlapping).await;
    let foreign = Hook::create(&theirs, &receiver, "/theirs", json!({})).await;
    deployment.synced().await;

    for number in 0..5 {
        deployment.write(&event(&deployment, &ours, &number.to_string(), "order.created", &json!(number))).await;
    }
    deployment.write(&event(&deployment, &theirs, "their own", "order.created", &json!("theirs"))).await;
    hook.wait_for(5).await;
    foreign.wait_for(1).await;
    assert_eq!(ours.deliveries(&format!("endpoint_id={}", hook.id), 5).await.len(), 5, "one delivery an event");
    assert_eq!(hook.count(), 5);
    assert_eq!(foreign.data(), [json!("theirs")]);
}
