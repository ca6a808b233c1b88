//! `Idempotency-Key`.

use poem::{Request, Response, http::Method};
use postrider_postgres::idempotency::{self, NewClaim};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture, TenantClient};
use crate::{
    api::{gzip, state::PublishError},
    clock,
};

async fn post(api: &Fixture, by: &TenantClient<'_>, path: &str, idempotency_key: &str, body: &Value) -> (Answer, bool) {
    let request = Request::builder()
        .method(Method::POST)
        .uri_str(path)
        .header("authorization", format!("Bearer {}", by.key))
        .header("idempotency-key", idempotency_key)
        .content_type("application/json")
        .body(body.to_string());
    let response = api.send_raw(request).await;
    let is_replayed = response.header("idempotency-replayed") == Some("true");
    (api.read(response).await, is_replayed)
}

fn endpoint() -> Value {
    json!({ "name": "hook", "url": "https://public.example.com/in?token=s3cret", "event_types": ["*"] })
}

#[tokio::test]
async fn a_repeated_request_is_executed_once_and_its_secret_is_not_repeated() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let (first, replayed) = post(&api, &acme, "/v1/endpoints", "order-1", &endpoint()).await;
    assert_eq!((first.status, replayed), (201, false), "{}", first.text);
    assert!(first.body["secret"].is_string());

    let (again, replayed) = post(&api, &acme, "/v1/endpoints", "order-1", &endpoint()).await;
    assert_eq!((again.status, replayed), (201, true), "{}", again.text);
    let mut expected = first.body.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(again.body, expected, "the same answer but for the secret");
    assert_eq!(acme.get("/v1/endpoints").await.body["data"].as_array().map(Vec::len), Some(1));

    let (key, _) = post(&api, &acme, "/v1/api-keys", "key-1", &json!({"name": "k", "scopes": ["*"]})).await;
    assert!(key.body["key"].is_string(), "{}", key.text);
    let (key, replayed) = post(&api, &acme, "/v1/api-keys", "key-1", &json!({"name": "k", "scopes": ["*"]})).await;
    assert!(replayed && key.body.get("key").is_none(), "{}", key.text);
}

#[tokio::test]
async fn what_is_kept_of_an_answer_is_sealed() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    post(&api, &acme, "/v1/endpoints", "order-1", &endpoint()).await;
    let id = acme.get("/v1/api-keys").await.body["data"][0]["id"].as_str().unwrap().to_owned();
    let tenant = postrider_domain::TenantId::from_trusted(acme.id.as_str());
    let now = clock::now();
    let claim = NewClaim {
        claim: 1,
        caller: &id,
        tenant: Some(&tenant),
        key: "order-1",
        fingerprint: b"",
        locked_until: now,
        expires_at: now,
    };
    let mut conn = api.pool.acquire().await.unwrap();
    let kept = idempotency::claim(&mut conn, claim, now).await.unwrap().and_then(|earlier| earlier.answer).unwrap();
    for secret in ["s3cret", "public.example.com", "whsec_"] {
        assert!(!kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret} is in the clear");
    }
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_caller() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let other = api.tenant("Other").await;
    post(&api, &acme, "/v1/endpoints", "order-1", &endpoint()).await;
    let changed = json!({ "name": "another", "url": "https://public.example.com/" });
    let (refused, _) = post(&api, &acme, "/v1/endpoints", "order-1", &changed).await;
    refused.assert_problem(422, Some("Idempotency-Key"));
    let (refused, _) = post(&api, &acme, "/v1/subscriptions", "order-1", &endpoint()).await;
    refused.assert_problem(422, Some("Idempotency-Key"));
    let (theirs, replayed) = post(&api, &other, "/v1/endpoints", "order-1", &endpoint()).await;
    assert_eq!((theirs.status, replayed), (201, false), "another's key is another key");
    for bad in ["", &"x".repeat(256)] {
        let (refused, _) = post(&api, &acme, "/v1/endpoints", bad, &endpoint()).await;
        refused.assert_problem(400, Some("Idempotency-Key"));
    }
}

#[tokio::test]
async fn a_request_is_the_same_however_its_body_is_packed() {
    let api = Fixture::new().await;
    let body = json!({ "name": "Acme", "description": "x".repeat(2_000) }).to_string();
    let packed = Response::builder().content_type("application/json").body(body.clone());
    let packed = gzip::compressed(packed).await.into_body().into_bytes().await.unwrap();
    let mut made = Vec::new();
    for (body, encoding) in [(packed, "gzip"), (body.into(), "identity")] {
        let request = Request::builder()
            .method(Method::POST)
            .uri_str("/v1/event-types")
            .header("authorization", format!("Bearer {}", api.operator_key))
            .header("idempotency-key", "packed-1")
            .header("content-encoding", encoding)
            .content_type("application/json");
        made.push(api.send(request.body(body)).await);
    }
    assert_eq!((made[0].status, made[1].status), (201, 201), "{} {}", made[0].text, made[1].text);
    assert_eq!(made[0].body, made[1].body);
}

#[tokio::test]
async fn a_failed_request_may_be_sent_again_with_its_key() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let bad = json!({ "name": "", "url": "https://public.example.com/" });
    let (refused, _) = post(&api, &acme, "/v1/endpoints", "order-1", &bad).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let (made, replayed) = post(&api, &acme, "/v1/endpoints", "order-1", &endpoint()).await;
    assert_eq!((made.status, replayed), (201, false), "{}", made.text);
}

#[tokio::test]
async fn an_event_that_is_published_again_after_a_failure_is_the_same_event() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let batch = |total: i64| {
        let event = json!({ "type": "order.created", "data": { "total": total } });
        json!({ "events": [event, event] })
    };
    let publish = async |key: &str, total: i64| post(&api, &acme, "/v1/events/batch", key, &batch(total)).await.0;
    *api.publisher.fails.lock() = Some(PublishError::Unavailable("no answer".to_owned()));
    assert_eq!(publish("batch-1", 1).await.status, 503, "it may have been written");
    *api.publisher.fails.lock() = None;
    let done = publish("batch-1", 1).await;
    assert_eq!(done.status, 202, "{}", done.text);
    publish("batch-2", 1).await;
    *api.publisher.fails.lock() = Some(PublishError::Unavailable("no answer".to_owned()));
    publish("batch-3", 1).await;
    publish("batch-3", 2).await;
    let ids = api.publisher.tried.lock().clone();
    assert_eq!(ids[..2], ids[2..4], "the same events");
    let mut others = ids[2..].to_vec();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 8, "each of another request or place is another event: {ids:?}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_finds_the_answer_when_it_asks_again() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let body = endpoint();
    // Polled once, and dropped: the request has begun, and nobody waits for its answer.
    let begun = post(&api, &acme, "/v1/endpoints", "order-1", &body);
    assert!(futures::FutureExt::now_or_never(begun).is_none());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let in_time = || assert!(tokio::time::Instant::now() < deadline, "it was not executed to its end");
    while acme.get("/v1/endpoints").await.body["data"] == json!([]) {
        in_time();
    }
    while !post(&api, &acme, "/v1/endpoints", "order-1", &body).await.1 {
        in_time();
    }
    assert_eq!(acme.get("/v1/endpoints").await.body["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_revoked_key_is_refused_before_anything_is_repeated() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    post(&api, &acme, "/v1/endpoints", "order-1", &endpoint()).await;
    let keys = acme.get("/v1/api-keys").await;
    let id = keys.body["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(acme.delete(&format!("/v1/api-keys/{id}")).await.status, 204);
    let (refused, replayed) = post(&api, &acme, "/v1/endpoints", "order-1", &endpoint()).await;
    assert_eq!((refused.status, replayed), (401, false));
}

#[tokio::test]
async fn of_requests_at_once_one_is_executed() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let body = endpoint();
    let all = (0..6).map(|_| post(&api, &acme, "/v1/endpoints", "order-1", &body));
    let answers = futures::future::join_all(all).await;
    let executed = answers.iter().filter(|(answer, replayed)| answer.status == 201 && !replayed).count();
    assert_eq!(executed, 1);
    assert!(answers.iter().all(|(answer, _)| [201, 409].contains(&answer.status)));
    assert_eq!(acme.get("/v1/endpoints").await.body["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_a_dead_process_left_is_taken_over_unless_its_change_was_made() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let id = acme.get("/v1/api-keys").await.body["data"][0]["id"].as_str().unwrap().to_owned();
    let tenant = postrider_domain::TenantId::from_trusted(acme.id.as_str());
    let mut conn = api.pool.acquire().await.unwrap();
    let now = clock::now();
    let asked = [b"POST /v1/endpoints\n".as_slice(), endpoint().to_string().as_bytes()].concat();
    let fingerprint = api.key_ring.keyed_hash("idempotent-request", &asked).to_bytes();
    for (claim, key) in [(1, "undone"), (2, "done"), (3, "at-work")] {
        let day = std::time::Duration::from_hours(24);
        let locked_until = if key == "at-work" { now + day } else { now };
        let new = NewClaim {
            claim,
            caller: &id,
            tenant: Some(&tenant),
            key,
            fingerprint: &fingerprint,
            locked_until,
            expires_at: now + day,
        };
        assert_eq!(idempotency::claim(&mut conn, new, now).await.unwrap(), None);
    }
    idempotency::mark_done(&mut conn, 2).await.unwrap();
    drop(conn);
    let (made, _) = post(&api, &acme, "/v1/endpoints", "undone", &endpoint()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    for key in ["done", "at-work"] {
        let (refused, _) = post(&api, &acme, "/v1/endpoints", key, &endpoint()).await;
        refused.assert_problem(409, Some("Idempotency-Key"));
    }
    assert_eq!(acme.get("/v1/endpoints").await.body["data"].as_array().map(Vec::len), Some(1));
}
