//! Nothing is sent during maintenance, and everything afterwards.

use std::time::Duration;

use postrider_control::clock;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Test, tests, write_events};

pub fn tests() -> Vec<Test> {
    tests![what_comes_during_maintenance_is_sent_after_it, maintenance_comes_again]
}

const EVENTS: usize = 200;

/// A window that begins a while ago and ends this long from now.
fn window(ago: Duration, ahead: Duration, every_seconds: Option<u32>) -> Value {
    let now = clock::now();
    json!([{"from": (now - ago).to_rfc3339(), "until": (now + ahead).to_rfc3339(), "every_seconds": every_seconds}])
}

async fn what_comes_during_maintenance_is_sent_after_it(context: Context) {
    let deployment = Deployment::start(&context, "maintenance").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let beside = Hook::create(&tenant, &receiver, "/beside", json!({})).await;
    let windows = window(Duration::from_mins(1), Duration::from_mins(30), None);
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({"maintenance": windows})).await;
    deployment.synced().await;
    write_events(&deployment, &tenant, 0..EVENTS, None).await;
    beside.wait_for(EVENTS).await;
    let held = tenant.deliveries(&format!("endpoint_id={}&status=held", hook.id), EVENTS).await;
    assert_eq!((held.len(), hook.count()), (EVENTS, 0), "in maintenance it was sent to");

    // It ends early: the clock does what an edit does.
    let windows = window(Duration::from_mins(1), Duration::from_secs(2), None);
    tenant.patch_endpoint(&hook.id, &json!({"maintenance": windows})).await;
    let ledger = Ledger::settle(EVENTS, &receiver, "/hook", LIMIT).await;
    assert_eq!(ledger.duplicates(), 0, "each once");
}

async fn maintenance_comes_again(context: Context) {
    let deployment = Deployment::start(&context, "maintenance-again").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let beside = Hook::create(&tenant, &receiver, "/beside", json!({})).await;
    // Two hours a day, since a week ago and an hour.
    let week = Duration::from_hours(7 * 24 + 1);
    let now = clock::now();
    let (from, until) = (now - week, now - week + Duration::from_hours(2));
    let windows = json!([{"from": from.to_rfc3339(), "until": until.to_rfc3339(), "every_seconds": 86_400}]);
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({"maintenance": windows})).await;
    deployment.synced().await;
    write_events(&deployment, &tenant, 0..1, None).await;
    beside.wait_for(1).await;
    tenant.delivery(&hook.message_id("0"), "held").await;
    assert_eq!(hook.count(), 0, "the seventh repetition is one, too");
    tenant.patch_endpoint(&hook.id, &json!({"maintenance": null})).await;
    hook.wait_for(1).await;
}
