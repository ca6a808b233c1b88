//! Tenants that are suspended or over a quota: held, not dropped, and seen to be.

use postrider_testkit::eventually;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Test, tests, write_events};

pub fn tests() -> Vec<Test> {
    tests![
        what_comes_for_a_suspended_tenant_is_held_until_it_is_resumed,
        past_its_quota_a_tenants_deliveries_are_held_and_others_go_on,
    ]
}

const EVENTS: usize = 200;

async fn what_comes_for_a_suspended_tenant_is_held_until_it_is_resumed(context: Context) {
    let deployment = Deployment::start(&context, "suspend").await;
    let (tenant, other) = (deployment.tenant().await, deployment.tenant().await);
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/suspended", json!({})).await;
    let beside = Hook::create(&other, &receiver, "/beside", json!({})).await;
    let operator = deployment.operator();
    let path = format!("/v1/tenants/{}", tenant.id);
    let reason = json!({"reason": "invoice unpaid"});
    let (status, suspended) = operator.post(&format!("{path}/suspend"), &reason).await.unwrap();
    assert_eq!((status, &suspended["suspended"]["reason"]), (StatusCode::OK, &reason["reason"]), "{suspended}");
    let (status, refused) = tenant.api.get("/v1/endpoints").await.unwrap();
    assert_eq!((status, &refused["type"]), (StatusCode::FORBIDDEN, &json!("/problems/tenant-suspended")), "{refused}");
    deployment.synced().await;

    write_events(&deployment, &tenant, 0..EVENTS, None).await;
    write_events(&deployment, &other, 0..EVENTS, None).await;
    beside.wait_for(EVENTS).await;
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let all = EVENTS as f64;
    eventually(LIMIT, "everything to be held", async || {
        (deployment.metric("postrider_held_appended_total").await? >= all).then_some(())
    })
    .await;
    assert_eq!(hook.count(), 0, "a suspended tenant's endpoint was sent to");

    let (status, resumed) = operator.post(&format!("{path}/resume"), &json!({})).await.unwrap();
    assert_eq!((status, &resumed["suspended"]), (StatusCode::OK, &Value::Null), "{resumed}");
    let ledger = Ledger::settle(EVENTS, &receiver, "/suspended", LIMIT).await;
    assert_eq!(ledger.duplicates(), 0, "each once");
    assert_eq!(tenant.api.get("/v1/endpoints").await.unwrap().0, StatusCode::OK);
}

async fn past_its_quota_a_tenants_deliveries_are_held_and_others_go_on(context: Context) {
    let deployment = Deployment::start(&context, "quota").await;
    let (tenant, other) = (deployment.tenant().await, deployment.tenant().await);
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/limited", json!({})).await;
    let beside = Hook::create(&other, &receiver, "/beside", json!({})).await;
    let operator = deployment.operator();
    let path = format!("/v1/tenants/{}", tenant.id);
    let quota = |deliveries: Value| json!({"quotas": {"deliveries_per_day": deliveries}});
    assert_eq!(operator.patch(&path, &quota(json!(5))).await.unwrap().0, StatusCode::OK);
    deployment.synced().await;

    write_events(&deployment, &tenant, 0..5, None).await;
    hook.wait_for(5).await;
    let usage = eventually(LIMIT, "the tenant to be held", async || {
        let (_, usage) = tenant.api.get("/v1/usage").await.unwrap();
        usage["held_until"].is_string().then_some(usage)
    })
    .await;
    assert_eq!(usage["deliveries_today"], json!(5), "{usage}");
    assert!(operator.get(&path).await.unwrap().1["held_until"].is_string());
    deployment.synced().await;

    write_events(&deployment, &tenant, 5..EVENTS, None).await;
    write_events(&deployment, &other, 0..EVENTS, None).await;
    beside.wait_for(EVENTS).await;
    #[expect(clippy::cast_precision_loss, reason = "few")]
    let rest = (EVENTS - 5) as f64;
    eventually(LIMIT, "the rest to be held", async || {
        (deployment.metric("postrider_held_appended_total").await? >= rest).then_some(())
    })
    .await;
    assert_eq!(hook.count(), 5, "a tenant over its quota was sent to");

    // The operator gives more: nothing was dropped.
    let (status, tenant) = operator.patch(&path, &quota(Value::Null)).await.unwrap();
    assert_eq!((status, &tenant["held_until"]), (StatusCode::OK, &Value::Null), "{tenant}");
    let ledger = Ledger::settle(EVENTS, &receiver, "/limited", LIMIT).await;
    assert_eq!(ledger.duplicates(), 0, "each once");
}
