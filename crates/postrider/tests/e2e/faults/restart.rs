//! The process is stopped, and killed, while events flow.

use std::collections::BTreeSet;

use postrider_testkit::Received;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Stream, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_restart_under_load_loses_nothing_and_repeats_little]
}

const PER_SECOND: u32 = 100;
/// What a kill may repeat: what was in flight or completed above it, and what was completed since the last commit (50
/// ms), for matcher and dispatcher each; generously, for a debug build on a machine that runs other tests too.
const MAX_DUPLICATES_PER_KILL: usize = 200;

async fn a_restart_under_load_loses_nothing_and_repeats_little(context: Context) {
    let mut deployment = Deployment::start(&context, "restart").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    deployment.synced().await;

    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    hook.wait_for(150).await;
    deployment.terminate().await;
    deployment.start_all().await;
    let received = hook.wait_for(hook.count() + 100).await;
    let distinct: BTreeSet<&str> = received.iter().map(Received::webhook_id).collect();
    let repeated_by_terminate = received.len() - distinct.len();
    stream.caught_up(&receiver, "/orders").await;
    // At its steady pace again: a kill amid the burst that catches up repeats as much of it as was not committed yet.
    hook.wait_for(hook.count() + 100).await;
    deployment.kill().await;
    deployment.start_all().await;
    receiver.wait_for("/orders", hook.count() + 100, LIMIT).await;

    let ledger = stream.compare(&receiver, "/orders").await;
    let duplicates = ledger.duplicates();
    println!("restart: {} events, {repeated_by_terminate} repeated by SIGTERM, {duplicates} in all", ledger.written);
    assert_eq!(repeated_by_terminate, 0, "an orderly stop repeats nothing");
    assert!(duplicates <= MAX_DUPLICATES_PER_KILL, "a kill repeated {duplicates} deliveries");
    // Duplicates are told by their webhook-id.
    assert_eq!(receiver.webhook_ids("/orders").len(), ledger.written);
    // The log has each delivery once, and each as delivered.
    let tenant = tenant.at(&deployment);
    let log = tenant.deliveries("status=delivered", ledger.written).await;
    assert_eq!(log.len(), ledger.written);
}
