//! A dispatcher is frozen for longer than its session, another takes over, and the first wakes.

use std::time::Duration;

use postrider_testkit::eventually;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Service, Stream, Test, long_tests};

pub fn tests() -> Vec<Test> {
    long_tests![a_dispatcher_that_wakes_after_its_session_loses_nothing_and_overwrites_no_state]
}

const PER_SECOND: u32 = 50;
const DISPATCHER: [&str; 2] = ["--roles", "api,dispatcher"];
const OTHERS: [&str; 2] = ["--roles", "api,relay,projector,matcher,retrier"];
/// What was in flight or not yet committed when the first froze, and what it sends on waking before it learns that its
/// partitions are another's: at most what lanes hold.
const MAX_REPEATED: usize = 200;

async fn a_dispatcher_that_wakes_after_its_session_loses_nothing_and_overwrites_no_state(context: Context) {
    let mut deployment = Deployment::prepare(&context, "frozen", "").await;
    deployment.start_roles(&OTHERS).await;
    let mut first = deployment.serve(&DISPATCHER);
    first.ready().await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let paused = Hook::create(&tenant, &receiver, "/paused", json!({})).await;
    let healthy = Hook::create(&tenant, &receiver, "/healthy", json!({})).await;
    tenant.pause(&paused.id).await;
    deployment.synced_in(&first).await;
    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    healthy.wait_for(100).await;
    held(&first, 50.0).await;

    first.process.pause().await.unwrap();
    let mut second = deployment.serve(&DISPATCHER);
    second.ready().await;
    // It has taken over: it delivers to one, and holds for the other.
    let received = healthy.count();
    healthy.wait_for(received + 150).await;
    held(&second, 100.0).await;
    first.process.resume().await.unwrap();
    let received = healthy.count();
    healthy.wait_for(received + 150).await;
    assert_eq!(paused.count(), 0, "a paused endpoint was sent to");

    // Both share the partitions now, or the first learned what it missed: what the second held is known either way.
    tenant.resume(&paused.id).await;
    paused.wait_for(200).await;
    let written = stream.stop().await;
    for path in ["/healthy", "/paused"] {
        let ledger = Ledger::settle(written, &receiver, path, LIMIT * 2).await;
        println!("frozen: {path}: {written} events, {} repeated", ledger.duplicates());
        assert!(ledger.duplicates() <= MAX_REPEATED, "{path}: {} repeated", ledger.duplicates());
    }
    for mut service in [first, second] {
        assert!(service.terminate().await.success());
    }
}

/// Waits until a dispatcher has held so many.
async fn held(dispatcher: &Service, count: f64) {
    eventually(LIMIT + Duration::from_secs(20), &format!("{count} deliveries to be held"), async || {
        (dispatcher.metric("postrider_held_appended_total").await? >= count).then_some(())
    })
    .await;
}
