//! What an endpoint is beside what the data plane needs: metadata, limits, who made it.

use serde_json::{Value, json};

use super::fixture::Fixture;

#[tokio::test]
async fn metadata_is_kept_merged_replaced_and_counted() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let url = "https://public.example.com/in";
    let input = json!({ "name": "hook", "url": url, "metadata": { "team": "blue", "tier": "1" } });
    let made = acme.post("/v1/endpoints", &input).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/endpoints/{}", made.id());
    let metadata = async |input: Value| acme.patch(&path, &json!({ "metadata": input })).await.body["metadata"].clone();
    assert_eq!(metadata(json!({ "tier": null, "zone": "eu" })).await, json!({ "team": "blue", "zone": "eu" }));
    let replaced = acme.put(&path, &json!({ "name": "hook", "url": url, "metadata": { "a": "b" } })).await;
    assert_eq!(replaced.body["metadata"], json!({ "a": "b" }), "{}", replaced.text);
    assert_eq!(metadata(Value::Null).await, json!({}));
    assert!(!format!("{:?}", api.published_endpoint().await).contains("blue"), "the data plane has no use for it");

    let many: serde_json::Map<String, Value> = (0..51).map(|n| (n.to_string(), json!(""))).collect();
    for (input, field) in [
        (json!({ "": "x" }), "/metadata/"),
        (json!({ "a/b": "x".repeat(501) }), "/metadata/a~1b"),
        (json!({ "n".repeat(65): "x" }), &*format!("/metadata/{}", "n".repeat(65))),
        (json!({ "a": 7 }), "/metadata/a"),
        (Value::Object(many), "/metadata"),
    ] {
        acme.patch(&path, &json!({ "metadata": input })).await.assert_problem(422, Some(field));
    }
}

#[tokio::test]
async fn an_endpoint_takes_bodies_up_to_a_size_of_its_own() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    assert_eq!(made.body["max_payload_bytes"], json!(null));
    let limited = acme.patch(&path, &json!({ "max_payload_bytes": 65_536 })).await;
    assert_eq!(limited.body["max_payload_bytes"], 65_536, "{}", limited.text);
    assert_eq!(api.published_endpoint().await.1.settings.max_payload_bytes, Some(65_536));
    for bytes in [0, 1_023, 1_048_577] {
        let answer = acme.patch(&path, &json!({ "max_payload_bytes": bytes })).await;
        answer.assert_problem(422, Some("/max_payload_bytes"));
    }
    let lifted = acme.patch(&path, &json!({ "max_payload_bytes": null })).await;
    assert_eq!(lifted.body["max_payload_bytes"], json!(null));
}

#[tokio::test]
async fn who_made_an_endpoint_is_known_and_what_came_of_it_begins_at_nothing() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    assert!(made.body["created_by"].as_str().is_some_and(|key| key.starts_with("key_")), "{}", made.text);
    assert_eq!((&made.body["totals"]["attempts"], &made.body["totals"]["last_error"]), (&json!(0), &json!(null)));
    let health = acme.get(&format!("/v1/endpoints/{}/health", made.id())).await;
    assert_eq!((health.status, &health.body["score"]), (200, &json!(null)), "{}", health.text);
    let other = api.tenant("Other").await;
    other.get(&format!("/v1/endpoints/{}/health", made.id())).await.assert_problem(404, None);
}
