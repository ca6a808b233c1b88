//! What happens around every request, as clients and browsers see it.

use postrider_testkit::{ApiClient, eventually};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_request_with_a_key_is_executed_once_also_over_a_crash,
        pages_of_configured_origins_may_call_and_answers_are_compressed,
    ]
}

/// Sends `body` with an `Idempotency-Key`. Answers the status, whether it was answered before, and the answer.
async fn post(api: &ApiClient, path: &str, key: &str, body: &Value) -> (StatusCode, bool, Value) {
    let request = api.request(Method::POST, path).header("idempotency-key", key).json(body);
    let answer = request.send().await.unwrap();
    let is_replayed = header(&answer, "idempotency-replayed") == Some("true");
    (answer.status(), is_replayed, answer.json().await.unwrap())
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

async fn a_request_with_a_key_is_executed_once_also_over_a_crash(context: Context) {
    let mut deployment = Deployment::start(&context, "idempotent").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/once", json!({})).await;
    deployment.synced().await;
    let input = json!({"name": "made once", "url": "https://127.0.0.1:9/", "event_types": ["none"]});
    let batch = json!({"events": [{"type": "order.created", "data": 1}, {"type": "order.created", "data": 2}]});
    let (status, _, endpoint) = post(&tenant.api, "/v1/endpoints", "endpoint-1", &input).await;
    assert_eq!(status, StatusCode::CREATED, "{endpoint}");
    let (status, _, published) = post(&tenant.api, "/v1/events/batch", "batch-1", &batch).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{published}");
    hook.wait_for(2).await;

    deployment.kill().await;
    deployment.start_all().await;
    let tenant = tenant.at(&deployment);
    for _ in 0..2 {
        let again = post(&tenant.api, "/v1/events/batch", "batch-1", &batch).await;
        assert_eq!(again, (StatusCode::ACCEPTED, true, published.clone()));
        let (status, replayed, body) = post(&tenant.api, "/v1/endpoints", "endpoint-1", &input).await;
        assert_eq!((status, replayed, &body["id"]), (StatusCode::CREATED, true, &endpoint["id"]));
        assert!(endpoint["secret"].is_string() && body.get("secret").is_none(), "{body}");
    }
    let (status, _, body) = post(&tenant.api, "/v1/endpoints", "endpoint-1", &json!({"name": "another"})).await;
    assert_eq!((status, &body["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("Idempotency-Key")), "{body}");
    assert_eq!(tenant.list("/v1/endpoints").await.len(), 2);
    // What is published with another key comes behind all that the repetitions could have written.
    post(&tenant.api, "/v1/events", "event-2", &json!({"type": "order.created", "data": 3})).await;
    eventually(LIMIT, "all three to arrive", async || {
        let mut data: Vec<i64> = hook.data().iter().filter_map(Value::as_i64).collect();
        data.sort_unstable();
        data.dedup();
        (data == [1, 2, 3]).then_some(())
    })
    .await;
    assert_eq!(receiver.webhook_ids("/once").len(), 3);
}

async fn pages_of_configured_origins_may_call_and_answers_are_compressed(context: Context) {
    let deployment = Deployment::with(&context, "cors", "[api]\ncors_origins = [\"https://app.example.com\"]").await;
    let tenant = deployment.tenant().await;
    for (origin, is_allowed) in [("https://app.example.com", true), ("https://evil.example", false)] {
        let preflight = tenant.api.request(Method::OPTIONS, "/v1/endpoints").header("origin", origin);
        let preflight = preflight.header("access-control-request-method", "POST").send().await.unwrap();
        assert_eq!(preflight.status() == StatusCode::NO_CONTENT, is_allowed, "{origin}");
        let call = tenant.api.request(Method::GET, "/v1/endpoints").header("origin", origin);
        let call = call.header("x-request-id", "page-7").send().await.unwrap();
        assert_eq!((call.status(), header(&call, "x-request-id")), (StatusCode::OK, Some("page-7")));
        assert_eq!(header(&call, "access-control-allow-origin"), is_allowed.then_some(origin));
    }
    let packed = tenant.api.request(Method::GET, "/openapi.json").header("accept-encoding", "gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(header(&packed, "content-encoding"), Some("gzip"));
    assert_eq!(packed.bytes().await.unwrap()[..2], [0x1f, 0x8b]);
}
