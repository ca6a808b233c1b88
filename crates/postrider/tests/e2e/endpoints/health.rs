//! How an endpoint does shows in its totals and its health.

use postrider_testkit::{Behaviour, eventually};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Tenant, Test, tests, write_events};

pub fn tests() -> Vec<Test> {
    tests![an_endpoint_that_fails_loses_points_and_gets_them_back, what_is_too_large_for_an_endpoint_is_not_sent]
}

async fn read(tenant: &Tenant, path: &str) -> Value {
    let (status, body) = tenant.api.get(path).await.unwrap();
    assert!(status.is_success(), "{body}");
    body
}

async fn an_endpoint_that_fails_loses_points_and_gets_them_back(context: Context) {
    let deployment = Deployment::start(&context, "health").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let once = json!({"retry": {"delays_seconds": []}});
    let hook = Hook::create(&tenant, &receiver, "/hook", once).await;
    deployment.synced().await;
    let (endpoint, health) = (format!("/v1/endpoints/{}", hook.id), format!("/v1/endpoints/{}/health", hook.id));
    let attempts = async |count: u64| {
        eventually(LIMIT, &format!("{count} attempts in the totals"), async || {
            let totals = read(&tenant, &endpoint).await["totals"].clone();
            (totals["attempts"].as_u64()? >= count).then_some(totals)
        })
        .await
    };
    write_events(&deployment, &tenant, 0..20, None).await;
    let totals = attempts(20).await;
    assert_eq!((&totals["delivered"], &totals["last_error"]), (&json!(20), &json!(null)), "{totals}");
    let good = read(&tenant, &health).await;
    assert!(good["score"].as_u64().unwrap() >= 80, "{good}");

    receiver.behave("/hook", Behaviour::Always(503));
    // Fewer than the breaker opens for.
    write_events(&deployment, &tenant, 20..25, None).await;
    let totals = attempts(25).await;
    assert_eq!(totals["last_error"]["error"], "http_server_error", "{totals}");
    assert_eq!((&totals["last_error"]["status"], &totals["dead_lettered"]), (&json!(503), &json!(5)));
    let bad = read(&tenant, &health).await;
    assert!(bad["score"].as_u64() < good["score"].as_u64(), "{bad} after {good}");

    receiver.behave("/hook", Behaviour::Ok(200));
    write_events(&deployment, &tenant, 25..75, None).await;
    attempts(75).await;
    let better = read(&tenant, &health).await;
    assert!(better["score"].as_u64() > bad["score"].as_u64(), "{better} after {bad}");
    eventually(LIMIT, "nothing to point to a disable", async || {
        read(&tenant, &health).await["prediction"].is_null().then_some(())
    })
    .await;
}

async fn what_is_too_large_for_an_endpoint_is_not_sent(context: Context) {
    let deployment = Deployment::start(&context, "payload-limit").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({"max_payload_bytes": 1_024})).await;
    deployment.synced().await;
    let event = |id: &str, length: usize| {
        crate::support::event(&deployment, &tenant, id, "order.created", &json!("x".repeat(length)))
    };
    deployment.write(&event("large", 2_000)).await;
    deployment.write(&event("small", 100)).await;
    hook.wait_for(1).await;
    let run = tenant.delivery(&hook.message_id("large"), "failed").await;
    assert_eq!(run["delivery"]["last_error"], "payload_too_large", "{run}");
    assert_eq!(hook.count(), 1);
}
