//! Backfilling a new subscription.

use std::collections::BTreeSet;

use postrider_testkit::{Received, compare, eventually};
use serde_json::json;

use super::command::replay;
use crate::support::{Context, Deployment, Hook, LIMIT, Stream, Tenant, Test, event, received, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_new_subscription_gets_each_event_once_while_events_keep_coming,
        a_backfill_that_is_cancelled_stops,
        a_backfill_that_is_killed_goes_on,
    ]
}

/// The endpoint's one subscription.
async fn subscription(tenant: &Tenant, hook: &Hook<'_>) -> String {
    let all = tenant.list(&format!("/v1/subscriptions?endpoint_id={}", hook.id)).await;
    all[0]["id"].as_str().unwrap().to_owned()
}

/// Writes events that nobody subscribed to yet.
async fn write(deployment: &Deployment, tenant: &Tenant, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    for id in &ids {
        deployment.write(&event(deployment, tenant, id, "order.created", &json!(id))).await;
    }
    ids
}

async fn a_new_subscription_gets_each_event_once_while_events_keep_coming(context: Context) {
    let deployment = Deployment::start(&context, "backfill").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let first = Hook::create(&tenant, &receiver, "/first", json!({})).await;
    deployment.synced().await;
    let stream = Stream::start(&deployment, &tenant, 50);
    first.wait_for(150).await;

    let late = Hook::create(&tenant, &receiver, "/late", json!({})).await;
    let subscription = subscription(&tenant, &late).await;
    deployment.synced().await;
    let (code, job) =
        replay(&deployment, &["backfill", "--subscription", &subscription, "--since", "1h", "--rate", "1000"]).await;
    assert_eq!((code, &job["progress"]["state"]), (0, &json!("done")), "{job}");
    let ledger = stream.compare(&receiver, "/late").await;
    println!("backfill: {} events, {} backfilled", ledger.written, job["progress"]["sent"]);
    assert_eq!(ledger.duplicates(), 0, "none by the backfill and the matcher both");
    assert!(job["progress"]["sent"].as_i64().unwrap() >= 150, "{job}");
}

async fn a_backfill_that_is_cancelled_stops(context: Context) {
    const EVENTS: usize = 1_000;
    let deployment = Deployment::start(&context, "backfill-cancel").await;
    let tenant = deployment.tenant().await;
    write(&deployment, &tenant, EVENTS).await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/late", json!({})).await;
    let subscription = subscription(&tenant, &hook).await;
    deployment.synced().await;
    let backfill = ["backfill", "--subscription", &subscription, "--since", "1h", "--rate", "20", "--detach"];
    let (_, job) = replay(&deployment, &backfill).await;
    let id = job["id"].as_str().unwrap();
    hook.wait_for(20).await;
    let (code, job) = replay(&deployment, &["cancel", id]).await;
    assert_eq!((code, &job["progress"]["state"]), (0, &json!("cancelled")), "{job}");
    let sent = usize::try_from(job["progress"]["sent"].as_u64().unwrap()).unwrap();
    assert!(sent < EVENTS);
    hook.wait_for(sent).await;
    // What a job that had not stopped would send within a second.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(hook.count(), sent);
    let (_, job) = replay(&deployment, &["show", id]).await;
    assert_eq!((&job["progress"]["state"], &job["progress"]["sent"]), (&json!("cancelled"), &json!(sent)), "{job}");
}

async fn a_backfill_that_is_killed_goes_on(context: Context) {
    const EVENTS: usize = 600;
    let mut deployment = Deployment::start(&context, "backfill-kill").await;
    let tenant = deployment.tenant().await;
    let written = write(&deployment, &tenant, EVENTS).await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/late", json!({})).await;
    let subscription = subscription(&tenant, &hook).await;
    deployment.synced().await;
    let backfill = ["backfill", "--subscription", &subscription, "--since", "1h", "--rate", "60", "--detach"];
    let (_, job) = replay(&deployment, &backfill).await;
    hook.wait_for(150).await;
    deployment.kill().await;
    let before = hook.count();
    assert!(before < EVENTS, "it was killed half-way");
    deployment.start_all().await;
    let id = job["id"].as_str().unwrap();
    eventually(LIMIT, "the backfill to end", async || {
        let (_, job) = replay(&deployment, &["show", id]).await;
        (job["progress"]["state"] == "done").then_some(())
    })
    .await;
    hook.wait_for(EVENTS).await;
    let verdict = eventually(LIMIT, "every event to arrive", async || {
        let verdict = compare(written.iter(), received(&receiver, "/late"));
        verdict.lost.is_empty().then_some(verdict)
    })
    .await;
    let repeated: usize = verdict.duplicates.values().sum();
    // What was fed since the last checkpoint (0.2 s), and what the dispatcher had in flight or not committed.
    assert!(repeated <= 60, "{repeated} repeated");
    let all = receiver.received("/late");
    let ids: BTreeSet<&str> = all.iter().map(Received::webhook_id).collect();
    assert_eq!(ids.len(), EVENTS, "a repetition has the same webhook-id");
}
