//! Endpoints that are disabled and enabled with a reason, and that show that they want events.

use postrider_domain::signing::{SigningSecret, verify};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture};
use crate::{api::Reply, clock};

fn state(answer: &Answer) -> (Value, Value, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = &answer.body;
    (body["enabled"].clone(), body["disabled_reason"].clone(), body["disabled_note"].clone())
}

#[tokio::test]
async fn who_disables_an_endpoint_says_why_and_its_history_keeps_it() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    let act = async |action: &str, input: Value| acme.post(&format!("{path}/{action}"), &input).await;

    let disabled = act("disable", json!({ "reason": "the warehouse moves" })).await;
    assert_eq!(state(&disabled), (json!(false), json!("manual"), json!("the warehouse moves")));
    assert!(disabled.body["disabled_at"].is_string());
    assert_eq!(state(&act("disable", json!({})).await).2, "the warehouse moves", "what was said stays");
    assert_eq!(state(&act("resume", json!({})).await).0, false, "a resumption enables nothing that somebody disabled");
    let enabled = act("enable", json!({ "reason": "it has moved" })).await;
    assert_eq!(state(&enabled), (json!(true), json!(null), json!(null)));
    assert_eq!(api.published_endpoint().await.1.enabled_version, 3, "one for the resumption, one for enabling");
    act("pause", json!({})).await;
    act("resume", json!({})).await;
    acme.patch(&path, &json!({ "enabled": false })).await;

    let list = acme.get(&format!("{path}/history")).await;
    assert_eq!(list.status, 200, "{}", list.text);
    let entries = list.body["data"].as_array().expect("a list");
    let found: Vec<(&Value, &Value)> = entries.iter().map(|entry| (&entry["change"], &entry["note"])).collect();
    let (none, reason, done) = (json!(null), json!("the warehouse moves"), json!("it has moved"));
    let changes = ["disabled", "resumed", "paused", "enabled", "disabled"].map(Value::from);
    let notes = [&none, &none, &none, &done, &reason];
    assert_eq!(found, changes.iter().zip(notes).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry["actor"].as_str().is_some_and(|actor| actor.starts_with("key_"))));
    assert_eq!(entries[0]["actor"], made.body["created_by"]);
    let page = acme.get(&format!("{path}/history?limit=4")).await;
    let cursor = page.body["next_cursor"].as_str().expect("there is more");
    let rest = acme.get(&format!("{path}/history?cursor={cursor}")).await;
    assert_eq!(rest.body["data"][0]["note"], "the warehouse moves", "{}", rest.text);

    act("disable", json!({ "reason": "a\nb" })).await.assert_problem(422, Some("/reason"));
    act("disable", json!({ "reason": "x".repeat(501) })).await.assert_problem(422, Some("/reason"));
    let other = api.tenant("Other").await;
    for action in ["disable", "enable", "verify"] {
        other.post(&format!("{path}/{action}"), &json!({})).await.assert_problem(404, None);
    }
    other.get(&format!("{path}/history")).await.assert_problem(404, None);
}

#[tokio::test]
async fn an_endpoint_that_has_to_be_verified_is_sent_nothing_before() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let url = "https://public.example.com/in";
    let made = acme.post("/v1/endpoints", &json!({ "name": "hook", "url": url, "verification": "cloudevents" })).await;
    assert_eq!((made.status, &made.body["disabled_reason"]), (201, &json!("unverified")), "{}", made.text);
    let path = format!("/v1/endpoints/{}", made.id());
    assert_eq!(state(&acme.post(&format!("{path}/enable"), &json!({})).await).1, "unverified");

    let verify = format!("{path}/verify");
    acme.post(&verify, &json!({})).await.assert_problem(409, None);
    *api.handshakes.reply.lock() = Some(Box::new(|question| {
        let origin = question.headers.iter().find(|(name, _)| name == "webhook-request-origin").expect("an origin");
        let allowed = ("webhook-allowed-origin".to_owned(), origin.1.clone());
        let rate = ("webhook-allowed-rate".to_owned(), "120".to_owned());
        Ok(Reply { status: 200, headers: vec![allowed, rate], body: String::new() })
    }));
    let verified = acme.post(&verify, &json!({})).await;
    assert_eq!(state(&verified).0, true);
    assert!(verified.body["verified_at"].is_string());
    assert_eq!(verified.body["rate_limit"], json!({ "per_minute": 120 }));
    assert!(api.published_endpoint().await.1.enabled);

    let moved = acme.patch(&path, &json!({ "url": "https://public.example.com/other" })).await;
    assert_eq!(state(&moved).1, "unverified", "it was another URL that was verified");
    assert_eq!(moved.body["verified_at"], json!(null));
    assert!(!api.published_endpoint().await.1.enabled);
    let freed = acme.patch(&path, &json!({ "verification": null })).await;
    assert_eq!(state(&freed).0, true, "it need not be verified any more");
}

#[tokio::test]
async fn a_challenge_is_signed_like_a_delivery_and_has_to_be_answered() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    acme.patch(&path, &json!({ "headers": { "Authorization": "Bearer s3cret" } })).await;
    let verify_path = format!("{path}/verify");
    let input = json!({ "method": "challenge" });
    *api.handshakes.reply.lock() =
        Some(Box::new(|_| Ok(Reply { status: 200, body: "hello".to_owned(), ..Reply::default() })));
    acme.post(&verify_path, &input).await.assert_problem(409, None);
    *api.handshakes.reply.lock() = Some(Box::new(|question| {
        let body: Value = serde_json::from_slice(question.json.as_ref().expect("a body")).expect("JSON");
        Ok(Reply { status: 200, body: json!({ "challenge": body["challenge"] }).to_string(), ..Reply::default() })
    }));
    let verified = acme.post(&verify_path, &input).await;
    assert!(verified.body["verified_at"].is_string(), "{}", verified.text);

    let asked = api.handshakes.asked.lock();
    let question = asked.last().expect("it was asked");
    assert_eq!(question.url.as_str(), "https://public.example.com/in?token=s3cret");
    let header = |name: &str| {
        question.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str()).expect("the header")
    };
    assert_eq!(header("authorization"), "Bearer s3cret");
    let secret = SigningSecret::parse(made.body["secret"].as_str().expect("a secret")).expect("a secret");
    let (id, timestamp, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let body = question.json.as_ref().expect("a body");
    let tolerance = std::time::Duration::from_mins(5);
    verify(&[secret], id, timestamp, signature, body, clock::now(), tolerance).expect("it is signed");
}
