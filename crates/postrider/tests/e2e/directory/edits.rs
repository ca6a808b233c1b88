//! Edits of endpoints and subscriptions take effect within a second.

use std::time::Duration;

use postrider_testkit::Behaviour;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        an_edit_is_seen_by_the_data_plane_within_a_second,
        what_comes_for_a_disabled_endpoint_waits_until_it_is_enabled,
        a_delivery_to_a_deleted_endpoint_is_cancelled,
        subscriptions_change_which_events_match,
    ]
}

/// How late an edit may be: a second, and half of one for a machine that runs other tests too.
const EDIT_LIMIT: Duration = Duration::from_millis(1_500);

async fn an_edit_is_seen_by_the_data_plane_within_a_second(context: Context) {
    let deployment = Deployment::start(&context, "edits").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/old", json!({})).await;
    receiver.verify("/new", &hook.secret).unwrap();
    deployment.synced().await;
    deployment.write(&event(&deployment, &tenant, "warm-up", "order.created", &json!(0))).await;
    hook.wait_for(1).await;

    // The URL is changed, and events keep coming: within a second they go to the new one only.
    tenant.patch_endpoint(&hook.id, &json!({"url": receiver.url("/new")})).await;
    let edited = postrider_control::clock::now();
    let mut number = 0;
    while receiver.count("/new") < 3 {
        number += 1;
        deployment.write(&event(&deployment, &tenant, &number.to_string(), "order.created", &json!(number))).await;
        assert!(postrider_control::clock::now().since(edited) < LIMIT, "the new URL is never used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let first = receiver.received("/new")[0].at.since(edited);
    assert!(first < EDIT_LIMIT, "the new URL was used {first:?} after the edit");
    let late = receiver.received("/old").iter().map(|request| request.at.since(edited)).max().unwrap();
    assert!(late < EDIT_LIMIT, "the old URL was still used {late:?} after the edit");
    assert_eq!(receiver.bad_signatures("/new"), 0);
}

async fn what_comes_for_a_disabled_endpoint_waits_until_it_is_enabled(context: Context) {
    // Parking is never shorter than 30 s where there is a tier for it: here there is none.
    let deployment = Deployment::with(&context, "disabled", "[retry]\ntiers = [\"1s\", \"2s\"]").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    let other = Hook::create(&tenant, &receiver, "/other", json!({})).await;
    deployment.synced().await;
    tenant.patch_endpoint(&hook.id, &json!({"enabled": false})).await;
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(1))).await;
    other.wait_for(1).await;
    let run = tenant.delivery(&hook.message_id("1"), "held").await;
    assert_eq!(run["delivery"]["attempt"], 1);
    assert_eq!(hook.count(), 0, "a disabled endpoint was sent to");

    tenant.patch_endpoint(&hook.id, &json!({"enabled": true})).await;
    let received = hook.wait_for(1).await;
    assert_eq!(received[0].webhook_id(), hook.message_id("1"));
    let run = tenant.delivery(&hook.message_id("1"), "delivered").await;
    assert_eq!(run["delivery"]["attempt"], 1, "waiting spent no attempt");
}

async fn a_delivery_to_a_deleted_endpoint_is_cancelled(context: Context) {
    let deployment = Deployment::start(&context, "deleted").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let doomed = Hook::create(&tenant, &receiver, "/doomed", json!({"retry": {"delays_seconds": [2, 2, 2]}})).await;
    let other = Hook::create(&tenant, &receiver, "/other", json!({})).await;
    receiver.behave("/doomed", Behaviour::Always(500));
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(1))).await;
    doomed.wait_for(1).await;
    tenant.delivery(&doomed.message_id("1"), "retrying").await;
    let (status, _) = tenant.api.delete(&format!("/v1/endpoints/{}", doomed.id)).await.unwrap();
    assert_eq!(status, StatusCode::NO_CONTENT);
    deployment.synced().await;

    // What waited in a tier ends without a further attempt, and what comes is not matched any more.
    deployment.write(&event(&deployment, &tenant, "2", "order.created", &json!(2))).await;
    other.wait_for(2).await;
    let run = tenant.delivery(&doomed.message_id("1"), "cancelled").await;
    assert_eq!(run["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(doomed.count(), 1);
    let (status, _) = tenant.api.get(&format!("/v1/deliveries/{}", doomed.message_id("2"))).await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
}

async fn subscriptions_change_which_events_match(context: Context) {
    let deployment = Deployment::start(&context, "subscriptions").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({"event_types": ["order.created"]})).await;
    let all = Hook::create(&tenant, &receiver, "/all", json!({})).await;

    let filter = json!({"field": "data", "operator": "greater_than", "value": 1});
    let more = json!({"endpoint_id": hook.id, "event_types": ["order.paid"], "filter": filter});
    let (status, made) = tenant.api.post("/v1/subscriptions", &more).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let path = format!("/v1/subscriptions/{}", made["id"].as_str().unwrap());
    deployment.synced().await;
    for number in 1..=2 {
        let id = format!("paid-{number}");
        deployment.write(&event(&deployment, &tenant, &id, "order.paid", &json!(number))).await;
    }
    hook.wait_for(1).await;
    all.wait_for(2).await;
    assert_eq!(hook.data(), [json!(2)], "the filter of the new subscription holds");

    // Without its filter it takes everything of its type.
    let (status, changed) = tenant.api.patch(&path, &json!({"filter": null})).await.unwrap();
    assert_eq!((status, &changed["filter"]), (StatusCode::OK, &json!(null)));
    deployment.synced().await;
    deployment.write(&event(&deployment, &tenant, "paid-0", "order.paid", &json!(0))).await;
    hook.wait_for(2).await;

    // Deleted, it takes nothing.
    assert_eq!(tenant.api.delete(&path).await.unwrap().0, StatusCode::NO_CONTENT);
    deployment.synced().await;
    deployment.write(&event(&deployment, &tenant, "paid-9", "order.paid", &json!(9))).await;
    deployment.write(&event(&deployment, &tenant, "created", "order.created", &json!("created"))).await;
    hook.wait_for(3).await;
    all.wait_for(5).await;
    assert_eq!(hook.data(), [json!(2), json!(0), json!("created")]);
}
