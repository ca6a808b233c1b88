//! An endpoint is paused, events go on, and it is resumed.

use postrider_testkit::{Receiver, eventually};
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Stream, Tenant, Test, tests, write_events};

pub fn tests() -> Vec<Test> {
    tests![
        what_comes_while_paused_is_delivered_after_the_resume,
        a_rebalance_while_paused_loses_nothing,
        a_resume_that_races_with_new_events_loses_nothing,
        a_kill_while_paused_loses_nothing,
    ]
}

const EVENTS: usize = 1_000;

/// A deployment with a paused endpoint beside one that is not.
struct Paused<'a> {
    hook: Hook<'a>,
    beside: Hook<'a>,
}

impl<'a> Paused<'a> {
    async fn create(deployment: &Deployment, tenant: &Tenant, receiver: &'a Receiver) -> Self {
        Self::create_with(deployment, tenant, receiver, json!({})).await
    }

    async fn create_with(
        deployment: &Deployment,
        tenant: &Tenant,
        receiver: &'a Receiver,
        settings: serde_json::Value,
    ) -> Self {
        let hook = Hook::create(tenant, receiver, "/paused", settings).await;
        let beside = Hook::create(tenant, receiver, "/beside", json!({})).await;
        tenant.pause(&hook.id).await;
        deployment.synced().await;
        Self { hook, beside }
    }

    /// Waits until everything for the paused endpoint is held.
    async fn held(&self, deployment: &Deployment, count: usize) {
        self.beside.wait_for(count).await;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = count as f64;
        eventually(LIMIT, "everything to be held", async || {
            (deployment.metric("postrider_held_appended_total").await? >= count).then_some(())
        })
        .await;
        assert_eq!(self.hook.count(), 0, "a paused endpoint was sent to");
    }
}

async fn what_comes_while_paused_is_delivered_after_the_resume(context: Context) {
    let deployment = Deployment::start(&context, "pause").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let paused = Paused::create(&deployment, &tenant, &receiver).await;
    write_events(&deployment, &tenant, 0..EVENTS, None).await;
    paused.held(&deployment, EVENTS).await;
    tenant.resume(&paused.hook.id).await;
    let ledger = Ledger::settle(EVENTS, &receiver, "/paused", LIMIT).await;
    assert_eq!(ledger.duplicates(), 0, "each once");
    // New events do not wait behind what was held, and are not held any more.
    let before = deployment.metric("postrider_held_appended_total").await;
    write_events(&deployment, &tenant, EVENTS..EVENTS + 10, None).await;
    paused.hook.wait_for(EVENTS + 10).await;
    assert_eq!(deployment.metric("postrider_held_appended_total").await, before);
}

async fn a_rebalance_while_paused_loses_nothing(context: Context) {
    let deployment = Deployment::start(&context, "pause-rebalance").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let paused = Paused::create(&deployment, &tenant, &receiver).await;
    write_events(&deployment, &tenant, 0..EVENTS, None).await;
    paused.held(&deployment, EVENTS).await;
    let mut second = deployment.serve(&["--roles", "api,dispatcher"]);
    second.ready().await;
    deployment.synced_in(&second).await;
    write_events(&deployment, &tenant, EVENTS..EVENTS * 2, None).await;
    paused.beside.wait_for(EVENTS * 2).await;
    assert_eq!(paused.hook.count(), 0, "a paused endpoint was sent to");
    tenant.resume(&paused.hook.id).await;
    // And once more, amid what is pulled.
    paused.hook.wait_for(EVENTS / 4).await;
    assert!(second.terminate().await.success());
    let ledger = Ledger::settle(EVENTS * 2, &receiver, "/paused", LIMIT * 2).await;
    println!("pause, two rebalances: {} events, {} repeated", ledger.written, ledger.duplicates());
    assert!(ledger.duplicates() <= EVENTS / 10, "{} repeated by orderly rebalances", ledger.duplicates());
}

async fn a_resume_that_races_with_new_events_loses_nothing(context: Context) {
    let deployment = Deployment::start(&context, "pause-race").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let paused = Paused::create(&deployment, &tenant, &receiver).await;
    let stream = Stream::start(&deployment, &tenant, 200);
    // Paused and resumed over and over while events come.
    for round in 1..=4 {
        stream.reached(round * 250, LIMIT).await;
        tenant.resume(&paused.hook.id).await;
        paused.hook.wait_for(paused.hook.count() + 20).await;
        tenant.pause(&paused.hook.id).await;
    }
    tenant.resume(&paused.hook.id).await;
    stream.reached(1_250, LIMIT).await;
    let written = stream.stop().await;
    let ledger = Ledger::settle(written, &receiver, "/paused", LIMIT).await;
    assert_eq!(ledger.duplicates(), 0, "each once");
}

async fn a_kill_while_paused_loses_nothing(context: Context) {
    const PER_SECOND: u32 = 500;
    /// For each kill: what was in flight, and what was completed since the last commit or state that was acknowledged,
    /// of two stages.
    const MAX_REPEATED: usize = 2 * 2 * PER_SECOND as usize / 5;
    let mut deployment = Deployment::start(&context, "pause-kill").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let settings = json!({"rate_limit": {"per_second": PER_SECOND, "burst": 10}});
    let paused = Paused::create_with(&deployment, &tenant, &receiver, settings).await;
    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    // Some are held, some still come: the kill is amid the appends.
    eventually(LIMIT, "some to be held", async || {
        (deployment.metric("postrider_held_appended_total").await? >= 100.0).then_some(())
    })
    .await;
    deployment.kill().await;
    stream.reached(EVENTS, LIMIT).await;
    let written = stream.stop().await;
    deployment.start_all().await;
    paused.beside.wait_for(written).await;
    assert_eq!(paused.hook.count(), 0, "a paused endpoint was sent to");
    let tenant = tenant.at(&deployment);
    tenant.resume(&paused.hook.id).await;
    paused.hook.wait_for(EVENTS / 2).await;
    deployment.kill().await;
    deployment.start_all().await;
    let ledger = Ledger::settle(written, &receiver, "/paused", LIMIT).await;
    println!("pause, two kills: {} events, {} repeated", ledger.written, ledger.duplicates());
    assert!(ledger.duplicates() <= MAX_REPEATED, "{} repeated", ledger.duplicates());
}
