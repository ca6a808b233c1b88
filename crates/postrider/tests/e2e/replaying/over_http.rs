//! Dead letters and replays over the API.

use postrider_testkit::{Behaviour, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Tenant, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![dead_letters_are_redriven_and_purged_over_the_api]
}

async fn dead_letters_are_redriven_and_purged_over_the_api(context: Context) {
    let deployment = Deployment::start(&context, "dead-letters").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/dead", json!({"retry": {"delays_seconds": []}})).await;
    receiver.behave("/dead", Behaviour::Always(500));
    deployment.synced().await;
    for number in 0..3 {
        let id = format!("e{number}");
        deployment.write(&event(&deployment, &tenant, &id, "order.created", &json!(number))).await;
    }
    letters(&tenant, "state=open", 3).await;
    let counts = tenant.api.get("/v1/dead-letters/counts").await.unwrap().1;
    assert_eq!((&counts["total"], &counts["data"][0]["error_class"]), (&json!(3), &json!("http_server_error")));

    // One is given up, and no replay brings it back.
    let given_up = hook.message_id("e2");
    let purged = post(&tenant, "/v1/dead-letters/purge", &json!({"message_ids": [given_up]})).await;
    assert_eq!(purged, json!({"purged": 1, "left": 0}));
    letters(&tenant, "state=purged", 1).await;

    let dry = post(&tenant, "/v1/dead-letters/redrive", &json!({"dry_run": true})).await;
    let dry = ended(&tenant, &dry).await;
    assert_eq!((&dry["state"], &dry["progress"]["matched"]), (&json!("done"), &json!(2)), "{dry}");
    assert_eq!(dry["progress"]["sample"].as_array().map(Vec::len), Some(2), "{dry}");

    receiver.behave("/dead", Behaviour::Ok(200));
    let redrive = json!({"endpoint_id": hook.id, "error_class": "http_server_error", "rate_per_second": 1000});
    let replay = ended(&tenant, &post(&tenant, "/v1/dead-letters/redrive", &redrive).await).await;
    assert_eq!((&replay["state"], &replay["progress"]["sent"]), (&json!("done"), &json!(2)), "{replay}");
    hook.wait_for(5).await;
    let id = replay["id"].as_str().unwrap();
    let redriven = letters(&tenant, &format!("state=redriven&replay_id={id}"), 2).await;
    assert_eq!(redriven.len(), 2);

    let message = hook.message_id("e0");
    let chain = eventually(LIMIT, "the redrive in the log", async || {
        let (_, body) = tenant.api.get(&format!("/v1/dead-letters/{message}")).await.unwrap();
        (body["chain"][1]["status"] == "delivered").then_some(body)
    })
    .await;
    assert_eq!(chain["chain"][0]["status"], "failed", "{chain}");
    assert_eq!(chain["dead_letters"][0]["redriven_as"], chain["chain"][1]["run"], "{chain}");
    let results = eventually(LIMIT, "what came of the redrive", async || {
        let (_, body) = tenant.api.get(&format!("/v1/replays/results?replay_id={id}")).await.unwrap();
        (body["data"][0]["delivered"] == 2).then_some(body)
    })
    .await;
    assert_eq!((&results["data"][0]["success_rate"], &results["data"][0]["redriven"]), (&json!(1.0), &json!(2)));

    let listed = tenant.list("/v1/replays?limit=1").await;
    assert_eq!(
        listed.iter().map(|it| it["id"].as_str().unwrap()).collect::<Vec<_>>(),
        [id, dry["id"].as_str().unwrap()]
    );
    let (status, body) = tenant.api.post(&format!("/v1/replays/{id}/pause"), &json!({})).await.unwrap();
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
}

/// The dead letters of a query, once there are `count`.
async fn letters(tenant: &Tenant, query: &str, count: usize) -> Vec<Value> {
    eventually(LIMIT, &format!("{count} dead letters of {query}"), async || {
        let all = tenant.list(&format!("/v1/dead-letters?limit=100&{query}")).await;
        (all.len() == count).then_some(all)
    })
    .await
}

async fn post(tenant: &Tenant, path: &str, input: &Value) -> Value {
    let (status, body) = tenant.api.post(path, input).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    body
}

/// A replay once it has ended.
async fn ended(tenant: &Tenant, made: &Value) -> Value {
    let path = format!("/v1/replays/{}", made["id"].as_str().unwrap());
    eventually(LIMIT, "the end of a replay", async || {
        let (_, body) = tenant.api.get(&path).await.unwrap();
        matches!(body["state"].as_str(), Some("done" | "failed" | "cancelled")).then_some(body)
    })
    .await
}
