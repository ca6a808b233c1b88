//! An endpoint shows that it wants events before any are sent to it.

use postrider_testkit::Behaviour;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, Tenant, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![an_unverified_endpoint_gets_its_events_once_it_is_verified, a_challenge_is_answered]
}

async fn verify(tenant: &Tenant, hook: &Hook<'_>, input: &Value) -> (StatusCode, Value) {
    tenant.api.post(&format!("/v1/endpoints/{}/verify", hook.id), input).await.unwrap()
}

async fn an_unverified_endpoint_gets_its_events_once_it_is_verified(context: Context) {
    let deployment = Deployment::start(&context, "verify").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({"verification": "cloudevents"})).await;
    let beside = Hook::create(&tenant, &receiver, "/beside", json!({})).await;
    deployment.synced().await;
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!({"total": 1}))).await;
    beside.wait_for(1).await;
    tenant.delivery(&hook.message_id("1"), "held").await;
    assert_eq!(hook.count(), 0, "nobody said that it wants events");

    let (status, body) = verify(&tenant, &hook, &json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "it allowed nothing: {body}");
    let asked = hook.received().remove(0);
    assert_eq!(asked.method, Method::OPTIONS);
    assert!(!asked.header("webhook-request-origin").is_empty());
    receiver.behave("/hook", Behaviour::Welcome);
    let (status, body) = verify(&tenant, &hook, &json!({})).await;
    assert_eq!((status, &body["enabled"]), (StatusCode::OK, &json!(true)), "{body}");
    // Two questions and the event.
    let received = receiver.wait_for("/hook", 3, crate::support::LIMIT).await;
    assert_eq!(received[2].webhook_id(), hook.message_id("1"));
}

async fn a_challenge_is_answered(context: Context) {
    let deployment = Deployment::start(&context, "challenge").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    let input = json!({"method": "challenge"});
    assert_eq!(verify(&tenant, &hook, &input).await.0, StatusCode::CONFLICT, "an empty answer is none");
    receiver.behave("/hook", Behaviour::Welcome);
    let (status, body) = verify(&tenant, &hook, &input).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body["verified_at"].is_string(), "{body}");
    assert_eq!(receiver.bad_signatures("/hook"), 0, "a challenge is signed like a delivery");
}
