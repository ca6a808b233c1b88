//! What an attempt was, what a delivery sends, and orders about deliveries that wait.

use postrider_testkit::{Behaviour, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Tenant, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![
        an_attempt_shows_what_was_sent_and_answered_without_what_is_secret,
        of_an_answer_16_kib_are_shown_as_text_without_what_was_sent_as_secret,
        what_waits_is_sent_at_once_or_cancelled_on_demand,
    ]
}

const TOKEN: &str = "tok-4f9a1c77e2b04d56";

fn header(attempt: &Value, side: &str, name: &str) -> Option<String> {
    let headers = attempt[side].as_array().unwrap();
    let found = headers.iter().find(|header| header["name"] == name);
    found.map(|header| header["value"].as_str().unwrap().to_owned())
}

async fn an_attempt_shows_what_was_sent_and_answered_without_what_is_secret(context: Context) {
    let deployment = Deployment::start(&context, "attempts").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let more = json!({"headers": {"X-Token": TOKEN}, "retry": {"delays_seconds": [1]}});
    let hook = Hook::create(&tenant, &receiver, "/in", more).await;
    receiver.behave("/in", Behaviour::FailTimes(1, 503));
    deployment.synced().await;
    let data = r#"{"total":1.10,"huge":12345678901234567890123}"#;
    let event = format!(r#"{{"type":"order.paid","id":"ord-1","data":{data}}}"#);
    let published = tenant.publish(&serde_json::from_str(&event).unwrap()).await;
    let received = hook.wait_for(2).await;
    assert_eq!(received[0].header("x-token"), TOKEN);

    let message = received[0].webhook_id();
    let run = tenant.delivery(message, "delivered").await;
    let attempts = run["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    for (attempt, received) in attempts.iter().zip(&received) {
        assert_eq!(header(attempt, "request_headers", "x-token").as_deref(), Some("***"));
        let own = ["webhook-id", "webhook-signature", "webhook-timestamp", "content-type"];
        for name in own.into_iter().chain(["user-agent", "accept", "content-length"]) {
            assert_eq!(header(attempt, "request_headers", name).as_deref(), Some(received.header(name)), "{name}");
        }
        let host = header(attempt, "request_headers", "host").unwrap();
        assert!(receiver.url("/in").contains(&format!("://{host}/")), "{host}");
        assert!(header(attempt, "response_headers", "date").is_some(), "{attempt:#}");
        let phases = &attempt["phases"];
        assert!(phases["wait_ms"].as_f64().unwrap() > 0.0, "{phases}");
        assert_eq!(phases["total_ms"], attempt["duration_ms"]);
    }
    // The first made a connection.
    let phases = &attempts[0]["phases"];
    assert!(phases["dns_ms"].is_f64() && phases["connect_ms"].is_f64(), "{phases}");

    let (status, payload) = tenant.api.get(&format!("/v1/deliveries/{message}/payload")).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{payload}");
    assert_eq!(payload["body"].as_str().unwrap().as_bytes(), &received[0].body[..]);
    let event_id = urlencoded(published["event_id"].as_str().unwrap());
    let (status, event) = tenant.api.get(&format!("/v1/events/{event_id}")).await.unwrap();
    assert_eq!((status, &event["deliveries"][0]["message_id"]), (StatusCode::OK, &json!(message)), "{event}");
    let (status, payload) = tenant.api.get("/v1/events/ord-1/payload").await.unwrap();
    assert_eq!((status, payload["id"].as_str()), (StatusCode::OK, Some("ord-1")), "{payload}");
    let stranger = deployment.tenant().await;
    for path in [format!("/v1/deliveries/{message}/payload"), format!("/v1/events/{event_id}/payload")] {
        assert_eq!(stranger.api.get(&path).await.unwrap().0, StatusCode::NOT_FOUND, "{path}");
    }
}

async fn of_an_answer_16_kib_are_shown_as_text_without_what_was_sent_as_secret(context: Context) {
    let deployment = Deployment::start(&context, "answers").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let more = json!({"headers": {"X-Token": format!("Bearer {TOKEN}")}, "retry": {"delays_seconds": []}});
    // It answers what it is sent.
    let hook = Hook::create(&tenant, &receiver, "/echo", more).await;
    receiver.behave("/echo", Behaviour::Welcome);
    deployment.synced().await;
    let data = format!("{TOKEN}{}", "é".repeat(20_000));
    tenant.publish(&json!({"type": "a", "id": "long", "data": data})).await;
    let received = hook.wait_for(1).await;
    let run = tenant.delivery(received[0].webhook_id(), "delivered").await;
    let shown = run["attempts"][0]["response_excerpt"].as_str().unwrap();
    let sent = String::from_utf8(received[0].body.to_vec()).unwrap().replace(TOKEN, "***");
    assert!(sent.starts_with(shown), "{shown}");
    let least = 16 * 1024 - TOKEN.len();
    assert!((least..=16 * 1024).contains(&shown.len()), "{} bytes", shown.len());
}

fn urlencoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"))
}

async fn order(tenant: &Tenant, message: &str, action: &str) -> Value {
    let (status, body) = tenant.api.post(&format!("/v1/deliveries/{message}/{action}"), &json!({})).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{action} {message}: {body}");
    body
}

async fn what_waits_is_sent_at_once_or_cancelled_on_demand(context: Context) {
    let deployment = Deployment::start(&context, "orders").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let late = Hook::create(&tenant, &receiver, "/late", json!({"retry": {"delays_seconds": [3600]}})).await;
    let soon = Hook::create(&tenant, &receiver, "/soon", json!({"retry": {"delays_seconds": [10, 10]}})).await;
    for path in ["/late", "/soon"] {
        receiver.behave(path, Behaviour::FailEach(1, 500));
    }
    deployment.synced().await;
    let publish = async |id: &str| drop(tenant.publish(&json!({"type": "a", "id": id, "data": 1})).await);
    for id in ["ahead", "cancelled"] {
        publish(id).await;
    }
    late.wait_for(2).await;
    soon.wait_for(2).await;
    let waiting = tenant.deliveries("status=retrying", 4).await;
    let message_of = |hook: &Hook<'_>, event: &str| {
        let found =
            waiting.iter().find(|it| it["endpoint_id"] == hook.id && it["event_id"].as_str().unwrap().ends_with(event));
        found.unwrap()["message_id"].as_str().unwrap().to_owned()
    };
    let (status, pending) = tenant.api.get("/v1/deliveries/pending").await.unwrap();
    assert_eq!((status, &pending["retrying"]), (StatusCode::OK, &json!(4)), "{pending}");
    // What stands before the dispatchers is told to operators: of all that was matched, nothing by now.
    eventually(LIMIT, "the dispatchers to have settled everything", async || {
        let (status, everywhere) = deployment.operator().get("/v1/deliveries/pending").await.unwrap();
        assert_eq!((status, &everywhere["retrying"]), (StatusCode::OK, &json!(4)), "{everywhere}");
        (everywhere["queued"] == 0).then_some(())
    })
    .await;

    for hook in [&late, &soon] {
        order(&tenant, &message_of(hook, "ahead"), "retry").await;
        assert_eq!(order(&tenant, &message_of(hook, "cancelled"), "cancel").await["status"], "cancelled");
    }
    // An hour early, as the attempt that was due.
    let run = tenant.delivery(&message_of(&late, "ahead"), "delivered").await;
    assert_eq!(run["attempts"][1]["number"], 2, "{run:#}");
    // What was left waiting, and what was cancelled, would come before this, which fails once too.
    publish("afterwards").await;
    let after = soon.wait_for(5).await;
    let count = |message: &str| after.iter().filter(|it| it.webhook_id() == message).count();
    assert_eq!((count(&message_of(&soon, "ahead")), count(&message_of(&soon, "cancelled"))), (2, 1));
    assert_eq!(after.len(), 5);
    tenant.delivery(&message_of(&soon, "ahead"), "delivered").await;
    tenant.delivery(&message_of(&soon, "cancelled"), "cancelled").await;

    let delivered = format!("/v1/deliveries/{}", message_of(&soon, "ahead"));
    for action in ["retry", "cancel"] {
        let (status, problem) = tenant.api.post(&format!("{delivered}/{action}"), &json!({})).await.unwrap();
        assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("/problems/conflict")));
    }
}
