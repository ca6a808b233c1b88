//! Dead letters and replays over the API.

use postrider_domain::ErrorClass;
use postrider_testkit::{Behaviour, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::redrive::fill;
use crate::support::{Context, Deployment, Hook, LIMIT, Tenant, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        dead_letters_are_redriven_and_purged_over_the_api,
        a_replay_is_paused_resumed_and_cancelled_over_the_api,
        a_subscription_is_backfilled_over_the_api,
    ]
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

async fn a_replay_is_paused_resumed_and_cancelled_over_the_api(context: Context) {
    const LETTERS: usize = 400;
    let deployment = Deployment::start(&context, "replay-directed").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/directed", json!({})).await;
    deployment.synced().await;
    fill(&deployment, &tenant.id, &hook.id, LETTERS, &[ErrorClass::Timeout]).await;
    letters(&tenant, "state=open", LETTERS).await;

    let selection = json!({"endpoint_id": hook.id, "rate_per_second": 20});
    let made = post(&tenant, "/v1/dead-letters/redrive", &selection).await;
    let path = format!("/v1/replays/{}", made["id"].as_str().unwrap());
    let direct = async |how: &str, state: &str| {
        assert_eq!(post(&tenant, &format!("{path}/{how}"), &json!({})).await["id"], made["id"]);
        replay_that(&tenant, &path, |replay| replay["state"] == state).await
    };
    let sent = |replay: &Value| usize::try_from(replay["progress"]["sent"].as_u64().unwrap_or(0)).unwrap();
    let running = replay_that(&tenant, &path, |replay| sent(replay) > 0).await;
    assert_eq!(running["state"], "running", "{running}");
    assert!(running["progress"]["remaining"].as_i64().is_some_and(|records| records > 0), "{running}");

    let paused = direct("pause", "paused").await;
    assert!(sent(&paused) < LETTERS, "{paused}");
    hook.wait_for(sent(&paused)).await;
    let resumed = direct("resume", "running").await;
    replay_that(&tenant, &path, |replay| sent(replay) > sent(&resumed)).await;
    let cancelled = direct("cancel", "cancelled").await;
    let first = sent(&cancelled);
    assert!(first > sent(&paused) && first < LETTERS, "{cancelled}");
    let (status, body) = tenant.api.post(&format!("{path}/resume"), &json!({})).await.unwrap();
    assert_eq!(status, StatusCode::CONFLICT, "{body}");

    // What it had not come to stays as it was, and another replay delivers that and nothing else.
    letters(&tenant, "state=open", LETTERS - first).await;
    let rest = json!({"endpoint_id": hook.id, "rate_per_second": 1000});
    let rest = ended(&tenant, &post(&tenant, "/v1/dead-letters/redrive", &rest).await).await;
    assert_eq!((&rest["state"], sent(&rest)), (&json!("done"), LETTERS - first), "{rest}");
    hook.wait_for(LETTERS).await;
    assert_eq!(receiver.webhook_ids("/directed").len(), LETTERS, "each once");
    assert_eq!(hook.count(), LETTERS, "none twice");
    let noted = tenant.list("/v1/audit-log?action=replay.").await;
    let actions: Vec<&str> = noted.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["replay.cancel", "replay.resume", "replay.pause"]);
}

async fn a_subscription_is_backfilled_over_the_api(context: Context) {
    const EVENTS: usize = 20;
    let deployment = Deployment::start(&context, "backfill-http").await;
    let tenant = deployment.tenant().await;
    for number in 0..EVENTS {
        let kind = if number % 2 == 0 { "order.created" } else { "order.paid" };
        deployment.write(&event(&deployment, &tenant, &number.to_string(), kind, &json!(number))).await;
    }
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/late", json!({"event_types": ["order.paid"]})).await;
    deployment.synced().await;
    let subscriptions = tenant.list(&format!("/v1/subscriptions?endpoint_id={}", hook.id)).await;
    let backfill = |dry_run: bool| {
        let since = "2020-01-01T00:00:00Z";
        let id = &subscriptions[0]["id"];
        json!({"subscription_id": id, "source": "events", "since": since, "dry_run": dry_run, "rate_per_second": 1000})
    };
    let dry = ended(&tenant, &post(&tenant, "/v1/replays/backfill", &backfill(true)).await).await;
    let counted = (&dry["state"], &dry["progress"]["matched"], &dry["progress"]["sent"]);
    assert_eq!(counted, (&json!("done"), &json!(EVENTS / 2), &json!(0)), "{dry}");
    assert!(dry["progress"]["sample"].as_array().is_some_and(|sample| !sample.is_empty()), "{dry}");
    assert_eq!(hook.count(), 0);

    let replay = ended(&tenant, &post(&tenant, "/v1/replays/backfill", &backfill(false)).await).await;
    assert_eq!((&replay["kind"], &replay["progress"]["sent"]), (&json!("backfill"), &json!(EVENTS / 2)), "{replay}");
    // What comes from now on comes once, by the subscription itself.
    deployment.write(&event(&deployment, &tenant, "live", "order.paid", &json!("live"))).await;
    hook.wait_for(EVENTS / 2 + 1).await;
    assert_eq!(receiver.webhook_ids("/late").len(), EVENTS / 2 + 1, "each once, under its own id");
    assert_eq!(hook.count(), EVENTS / 2 + 1);
    let path = format!("/v1/deliveries/{}", hook.message_id("1"));
    let run = eventually(LIMIT, "the delivery in the log", async || {
        let chain = tenant.api.get(&path).await.unwrap().1;
        chain["runs"][0]["delivery"]["run"].as_str().map(str::to_owned)
    })
    .await;
    assert!(run.starts_with(replay["id"].as_str().unwrap()), "{run}");
}

/// A replay once it is as wanted.
async fn replay_that(tenant: &Tenant, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(LIMIT, "the replay to get there", async || {
        let (_, body) = tenant.api.get(path).await.unwrap();
        wanted(&body).then_some(body)
    })
    .await
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
    replay_that(tenant, &path, |replay| matches!(replay["state"].as_str(), Some("done" | "failed" | "cancelled"))).await
}
