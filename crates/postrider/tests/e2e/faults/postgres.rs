//! Postgres is away: deliveries go on, and the log is complete once it is back.

use postrider_testkit::LocalPostgres;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![without_postgres_deliveries_go_on_and_the_log_catches_up]
}

async fn without_postgres_deliveries_go_on_and_the_log_catches_up(context: Context) {
    const EACH: usize = 20;
    let mut postgres = LocalPostgres::start(None).await.unwrap();
    let database = postgres.create_database("postrider").await.unwrap();
    let mut deployment = Deployment::prepare_on(&context, "postgres", &database, "").await;
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    let retry = json!({"retry": {"delays_seconds": [1, 1]}});
    let failing = Hook::create(&tenant, &receiver, "/failing", retry).await;
    receiver.behave("/failing", postrider_testkit::Behaviour::FailEach(1, 500));
    deployment.synced().await;
    let write = async |from: usize| {
        for number in from..from + EACH {
            deployment.write(&event(&deployment, &tenant, &number.to_string(), "order.created", &json!(number))).await;
        }
    };
    write(0).await;
    hook.wait_for(EACH).await;

    postgres.stop().await.unwrap();
    write(EACH).await;
    hook.wait_for(EACH * 2).await;
    failing.wait_for(EACH * 4).await; // retries as well
    let (status, problem) = tenant.api.get("/v1/endpoints").await.unwrap();
    assert_eq!((status, &problem["type"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("/problems/unavailable")));
    postrider_testkit::eventually(crate::support::LIMIT, "the projector to say why it is unready", async || {
        let (status, parts) = deployment.readiness().await;
        (status == StatusCode::SERVICE_UNAVAILABLE && parts.to_string().contains("projector")).then_some(())
    })
    .await;

    postgres.restart().await.unwrap();
    for hook in [&hook, &failing] {
        let log = tenant_log(&tenant, hook, EACH * 2).await;
        assert_eq!(log, EACH * 2, "every delivery is in the log once");
    }
    let run = tenant.delivery(&failing.message_id(&(EACH + 3).to_string()), "delivered").await;
    assert_eq!(run["attempts"].as_array().unwrap().len(), 2, "with every attempt, those of the outage too");
    // And configuration goes on as well.
    let later = Hook::create(&tenant, &receiver, "/later", json!({})).await;
    deployment.synced().await;
    write(EACH * 2).await;
    later.wait_for(EACH).await;
}

/// How many deliveries the log has, once it has as many delivered ones; the API may still be reconnecting.
async fn tenant_log(tenant: &crate::support::Tenant, hook: &Hook<'_>, count: usize) -> usize {
    let path = format!("/v1/deliveries?limit=100&status=delivered&endpoint_id={}", hook.id);
    postrider_testkit::eventually(crate::support::LIMIT, "the log to catch up", async || {
        let (status, page) = tenant.api.get(&path).await.unwrap();
        let found = page["data"].as_array().map_or(0, Vec::len);
        (status == StatusCode::OK && found >= count).then_some(found)
    })
    .await
}
