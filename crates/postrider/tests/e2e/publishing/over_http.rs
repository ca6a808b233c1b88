//! Events published through the API.

use std::collections::BTreeSet;

use postrider_testkit::ApiClient;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_published_event_stands_in_kafka_and_arrives_to_the_byte,
        data_that_nests_very_deep_is_delivered_and_matches_no_filter,
        a_batch_arrives_whole_and_what_did_not_match_is_explained,
    ]
}

async fn post_raw(api: &ApiClient, body: String) -> (StatusCode, Value) {
    let request = api.request(Method::POST, "/v1/events").header("content-type", "application/json").body(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn a_published_event_stands_in_kafka_and_arrives_to_the_byte(context: Context) {
    let deployment = Deployment::start(&context, "http").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    deployment.synced().await;

    let data = r#"{"total":1.10,"huge":1e400,  "z":1,"a":[9007199254740993]}"#;
    let body =
        format!(r#"{{"type":"order.paid","id":"ord-1","subject":"ord","time":"2026-01-31T12:00:00Z","data":{data}}}"#);
    let (status, accepted) = post_raw(&tenant.api, body.clone()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    assert_eq!(accepted["id"], "ord-1");

    // 202 means that it stands where the answer says.
    let topic = deployment.read(&deployment.topics.events());
    let records = topic.wait_for(1, LIMIT, |_| true).await;
    assert_eq!(accepted["topic"], *records[0].topic);
    assert_eq!(accepted["partition"], records[0].partition);
    assert_eq!(accepted["offset"], records[0].offset);
    assert_eq!(records[0].headers.get_str("ce_tenant"), Some(tenant.id.as_str()));

    let received = hook.wait_for(1).await;
    let envelope = format!(r#"{{"type":"order.paid","timestamp":"2026-01-31T12:00:00.000Z","data":{data}}}"#);
    assert_eq!(received[0].body, envelope.as_bytes());

    // Publishing it again, as after a time-out, leads to the same webhook-id.
    assert_eq!(post_raw(&tenant.api, body).await.0, StatusCode::ACCEPTED);
    let received = hook.wait_for(2).await;
    assert_eq!(received[0].webhook_id(), received[1].webhook_id());

    // An event without an id gets one.
    let made = tenant.publish(&json!({"type": "order.paid", "data": null})).await;
    assert!(made["id"].as_str().unwrap().starts_with("evt_"), "{made}");
    let received = hook.wait_for(3).await;
    assert_ne!(received[0].webhook_id(), received[2].webhook_id());
}

async fn data_that_nests_very_deep_is_delivered_and_matches_no_filter(context: Context) {
    let deployment = Deployment::start(&context, "deep").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let all = Hook::create(&tenant, &receiver, "/all", json!({})).await;
    let filter = json!({"field": "data.total", "operator": "equals", "value": 2});
    let filtered = json!({"subscriptions": [{"event_types": ["*"], "filter": filter}]});
    let filtered = Hook::create(&tenant, &receiver, "/filtered", filtered).await;
    deployment.synced().await;

    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let (status, accepted) = post_raw(&tenant.api, format!(r#"{{"type":"deep","data":{deep}}}"#)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let received = all.wait_for(1).await;
    let body = std::str::from_utf8(&received[0].body).unwrap();
    assert!(body.ends_with(&format!(r#""data":{deep}}}"#)), "the data was changed");
    // The process goes on, and so does whoever filters.
    tenant.publish(&json!({"type": "flat", "data": {"total": 2}})).await;
    all.wait_for(2).await;
    filtered.wait_for(1).await;
    assert_eq!(filtered.data(), [json!({"total": 2})]);
}

async fn a_batch_arrives_whole_and_what_did_not_match_is_explained(context: Context) {
    const EVENTS: usize = 1_000;
    let deployment = Deployment::start(&context, "batch").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let filter = json!({"field": "data.number", "operator": "greater_than", "value": 0});
    let more = json!({"subscriptions": [{"event_types": ["order.*"], "filter": filter}]});
    let hook = Hook::create(&tenant, &receiver, "/orders", more).await;
    deployment.synced().await;
    let event = |number: usize| json!({"type": "order.paid", "id": format!("e-{number}"), "data": {"number": number}});
    let events: Vec<Value> = (0..EVENTS).map(event).collect();
    let publish = async || {
        let request = tenant.api.request(Method::POST, "/v1/events/batch").header("Idempotency-Key", "batch-1");
        let answer = request.json(&json!({"events": events})).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        answer.json::<Value>().await.unwrap()
    };
    let answer = publish().await;
    let accepted = answer["data"].as_array().unwrap();
    assert_eq!(accepted.len(), EVENTS);
    // Sent again, as after a time-out, it is not written again: that would be elsewhere.
    assert_eq!(publish().await, answer);
    hook.wait_for(EVENTS - 1).await;
    let numbers: BTreeSet<u64> = hook.data().iter().map(|data| data["number"].as_u64().unwrap()).collect();
    assert!(numbers.into_iter().eq(1..EVENTS as u64));

    let place = |accepted: &Value| {
        let at = |name: &str| accepted[name].clone();
        json!({"topic": at("topic"), "partition": at("partition"), "offset": at("offset")})
    };
    for (number, matched, outcome) in [(0, false, "filter"), (1, true, "matched")] {
        let (status, answer) =
            tenant.api.post("/v1/events/explain", &json!({"source": place(&accepted[number])})).await.unwrap();
        assert_eq!((status, &answer["event_id"]), (StatusCode::OK, &accepted[number]["event_id"]), "{answer}");
        let explained = &answer["data"][0];
        assert_eq!((&explained["matched"], &explained["outcome"]), (&json!(matched), &json!(outcome)), "{explained}");
        assert_eq!(explained["endpoint_id"], hook.id);
    }
    let stranger = deployment.tenant().await;
    for source in [place(&accepted[0]), json!({"topic": accepted[0]["topic"], "partition": 9999, "offset": 0})] {
        let asked = json!({ "source": source });
        let (status, problem) = stranger.api.post("/v1/events/explain", &asked).await.unwrap();
        assert_eq!((status, &problem["field"]), (StatusCode::NOT_FOUND, &json!("/source")), "{problem}");
    }
}
