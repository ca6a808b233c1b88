//! A second process joins and leaves while events flow.

use postrider_testkit::eventually;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Stream, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_process_that_joins_and_leaves_under_load_loses_nothing]
}

const PER_SECOND: u32 = 30;
/// So many that the second process is all but sure to get the partition of some.
const ENDPOINTS: usize = 12;

async fn a_process_that_joins_and_leaves_under_load_loses_nothing(context: Context) {
    let deployment = Deployment::start(&context, "rebalance").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let mut hooks = Vec::new();
    for number in 0..ENDPOINTS {
        hooks.push(Hook::create(&tenant, &receiver, &format!("/{number}"), json!({})).await);
    }
    deployment.synced().await;

    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    hooks[0].wait_for(60).await;
    let mut second = deployment.serve(&["--roles", "api,matcher,dispatcher,retrier"]);
    second.ready().await;
    // It takes part: it makes attempts of its own.
    eventually(LIMIT, "the second process to send", async || {
        (second.metric("postrider_attempts_total").await? > 20.0).then_some(())
    })
    .await;
    assert!(second.terminate().await.success());
    hooks[0].wait_for(hooks[0].count() + 60).await;

    let ledger = stream.compare(&receiver, "/0").await;
    println!("rebalance: {} events, {} repeated", ledger.written, ledger.duplicates());
    for (number, hook) in hooks.iter().enumerate() {
        let path = format!("/{number}");
        eventually(LIMIT, &format!("{path} to have every event"), async || {
            (receiver.webhook_ids(&path).len() == ledger.written).then_some(())
        })
        .await;
        // What was completed above the oldest delivery that a process had not begun is repeated by the next owner.
        let repeated = hook.count() - ledger.written;
        assert!(repeated < ledger.written / 2, "{path}: two rebalances repeated {repeated} of {}", ledger.written);
    }
}
