//! Tests over the real road, and what their receiver got, verified.

use std::time::Duration;

use postrider_testkit::Behaviour;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::support::{Context, Deployment, Hook, Tenant, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_test_goes_the_real_road_and_what_was_received_verifies]
}

async fn a_test_goes_the_real_road_and_what_was_received_verifies(context: Context) {
    let deployment = Deployment::start(&context, "test-send").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook =
        Hook::create(&tenant, &receiver, "/test", json!({"timeout_ms": 1000, "headers": {"x-token": "s3cret-token"}}))
            .await;
    deployment.synced().await;

    let sent = send(&tenant, &hook.id, &json!({"event_type": "order.created", "data": {"total": 1}})).await;
    assert_eq!((&sent["delivered"], &sent["response"]["status"]), (&json!(true), &json!(200)), "{sent}");
    assert!(sent["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 1_000.0), "{sent}");
    let received = hook.wait_for(1).await.remove(0);
    assert_eq!(sent["request"]["message_id"], received.webhook_id());
    assert_eq!(sent["request"]["body"], String::from_utf8_lossy(&received.body).as_ref());
    let value = |headers: &Value, name: &str| {
        let all = headers.as_array().unwrap();
        all.iter().find(|header| header["name"] == name).map(|header| header["value"].clone())
    };
    assert_eq!(value(&sent["request"]["headers"], "webhook-id"), Some(json!(received.webhook_id())), "{sent}");
    assert_eq!(value(&sent["request"]["headers"], "x-token"), Some(json!("***")), "{sent}");
    assert_eq!(received.header("x-token"), "s3cret-token");
    assert!(value(&sent["response"]["headers"], "date").is_some(), "{sent}");
    let phases = &sent["phases"];
    let spent: f64 = ["connect_ms", "tls_ms", "wait_ms"].iter().filter_map(|phase| phases[phase].as_f64()).sum();
    assert!(spent > 0.0 && phases["total_ms"].as_f64().is_some_and(|total| total >= spent), "{sent}");
    let delivery = tenant.delivery(received.webhook_id(), "delivered").await;
    assert_eq!(delivery["delivery"]["kind"], "test", "{delivery}");

    let mut headers = Map::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name.to_owned(), json!(received.header(name)));
    }
    let body = String::from_utf8_lossy(&received.body).into_owned();
    let verified = verify(&tenant, &json!({"endpoint_id": hook.id, "headers": headers, "body": body})).await;
    assert_eq!(verified["valid"], true, "{verified}");
    let tampered = json!({"endpoint_id": hook.id, "headers": headers, "body": body.replace('1', "2")});
    assert_eq!(verify(&tenant, &tampered).await["valid"], false);

    // A pause does not hold it, and its failures have their classes, within the endpoint's time-out.
    tenant.pause(&hook.id).await;
    receiver.behave("/test", Behaviour::Always(503));
    let failed = send(&tenant, &hook.id, &json!({})).await;
    assert_eq!((&failed["error_class"], &failed["response"]["status"]), (&json!("http_server_error"), &json!(503)));
    receiver.behave("/test", Behaviour::Hang);
    let begun = tokio::time::Instant::now();
    let hanging = send(&tenant, &hook.id, &json!({})).await;
    assert_eq!((&hanging["error_class"], &hanging["response"]), (&json!("timeout"), &Value::Null), "{hanging}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());

    // They count for nothing.
    let id = hanging["request"]["message_id"].as_str().unwrap();
    tenant.delivery(id, "failed").await;
    let (_, endpoint) = tenant.api.get(&format!("/v1/endpoints/{}", hook.id)).await.unwrap();
    assert_eq!(endpoint["totals"]["attempts"], 0, "{endpoint}");
    let (_, summary) = tenant.api.get("/v1/analytics/summary").await.unwrap();
    assert_eq!((&summary["counts"]["delivered"], &summary["counts"]["failed"]), (&json!(0), &json!(0)), "{summary}");
}

async fn send(tenant: &Tenant, endpoint: &str, input: &Value) -> Value {
    let (status, body) = tenant.api.post(&format!("/v1/endpoints/{endpoint}/test"), input).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn verify(tenant: &Tenant, input: &Value) -> Value {
    let (status, body) = tenant.api.post("/v1/verify-signature", input).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}
