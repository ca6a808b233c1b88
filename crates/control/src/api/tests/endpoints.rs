use postrider_domain::Endpoint;
use serde_json::json;

use super::fixture::Fixture;

#[tokio::test]
async fn an_endpoint_is_made_with_its_subscriptions_and_a_secret_shown_once() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme
        .post(
            "/v1/endpoints",
            &json!({
                "name": "hook",
                "url": "https://Public.example.com:443/in?token=s3cret",
                "description": "first\nsecond",
                "timeout_ms": 5000,
                "retry": { "delays_seconds": [1, 2, 3], "max_age_seconds": 60 },
                "event_types": ["order.*"],
                "subscriptions": [{
                    "event_types": ["invoice.paid", "invoice.void"],
                    "filter": { "all": [{ "field": "data.total", "operator": "greater_than", "value": 100 }] },
                }],
            }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["url"], "https://public.example.com/in?token=s3cret");
    assert_eq!(made.body["enabled"], true);
    assert_eq!(made.body["retry"], json!({ "delays_seconds": [1, 2, 3], "max_age_seconds": 60 }));
    assert_eq!(made.body["subscriptions"][0]["event_types"], json!(["order.*"]));
    assert_eq!(made.body["subscriptions"][1]["filter"]["all"][0]["value"], 100);
    assert!(made.body["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{}", made.text);

    let shown = acme.get(&format!("/v1/endpoints/{}", made.id())).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert!(shown.body.get("secret").is_none());
    assert_eq!(shown.body["description"], "first\nsecond");
    let list = acme.get(&format!("/v1/subscriptions?endpoint_id={}", made.id())).await;
    assert_eq!(list.body["data"].as_array().map(Vec::len), Some(2), "{}", list.text);

    let (version, published) = api.published_endpoint().await;
    assert_eq!((version, published.enabled_version, published.timeout_ms), (1, 1, 5_000));
    assert_eq!((published.origin.as_str(), published.secrets.len()), ("https://public.example.com", 1));
    assert_eq!(api.outbox().await.len(), 4, "tenant, endpoint, two subscriptions");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_enabling_or_a_new_url_starts_afresh() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());

    let renamed = acme.patch(&path, &json!({ "name": "renamed", "timeout_ms": 1000 })).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    assert_eq!((&renamed.body["name"], &renamed.body["url"]), (&json!("renamed"), &made.body["url"]));
    let state = |(version, endpoint): (i64, Endpoint)| (version, endpoint.enabled_version, endpoint.enabled);
    assert_eq!(state(api.published_endpoint().await), (2, 1, true));

    assert_eq!(acme.patch(&path, &json!({ "enabled": false })).await.body["enabled"], false);
    assert_eq!(state(api.published_endpoint().await), (3, 1, false));
    acme.patch(&path, &json!({ "enabled": true })).await;
    assert_eq!(state(api.published_endpoint().await), (4, 2, true));
    acme.patch(&path, &json!({ "enabled": true, "url": made.body["url"] })).await;
    assert_eq!(state(api.published_endpoint().await), (5, 2, true));
    let moved = acme.patch(&path, &json!({ "url": "https://public.example.com/other" })).await;
    assert_eq!(moved.body["url"], "https://public.example.com/other");
    let (version, endpoint) = api.published_endpoint().await;
    assert_eq!((version, endpoint.enabled_version, endpoint.secrets.len()), (6, 3, 1));
    assert_eq!(endpoint.url.version(), 6);
}

#[tokio::test]
async fn deleting_an_endpoint_takes_its_subscriptions_along() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    assert_eq!(acme.delete(&path).await.status, 204);
    acme.get(&path).await.assert_problem(404, None);
    acme.delete(&path).await.assert_problem(404, None);
    assert_eq!(acme.get("/v1/subscriptions").await.body["data"], json!([]));
    let outbox = api.outbox().await;
    let gone: Vec<&str> = outbox
        .iter()
        .filter(|(_, version, body)| *version == 2 && !body.is_live())
        .map(|(id, _, _)| id.as_str())
        .collect();
    assert_eq!(gone, [made.body["subscriptions"][0]["id"].as_str().expect("an id"), &made.id()]);
}

#[tokio::test]
async fn a_subscription_is_made_changed_and_deleted() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await.id();
    // A number that no float holds, and one that would be long written out.
    let filter = r#"{"any": [{"field": "data.n", "operator": "equals", "value": 12345678901234567890123},
                             {"field": "data.t", "operator": "equals", "value": "a\u0000b"}]}"#;
    let input = format!(r#"{{"endpoint_id": "{endpoint}", "event_types": ["a.b"], "filter": {filter}}}"#);
    let made = acme.post_text("/v1/subscriptions", &input).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/subscriptions/{}", made.id());
    let shown = acme.get(&path).await;
    assert!(shown.text.contains("12345678901234567890123"), "{}", shown.text);
    assert_eq!(shown.body["filter"]["any"][1]["value"], "a\u{0}b");

    let changed = acme.patch(&path, &json!({ "event_types": ["c", "d.*"] })).await;
    assert_eq!(changed.body["event_types"], json!(["c", "d.*"]), "{}", changed.text);
    assert_eq!(changed.body["filter"], shown.body["filter"]);
    let cleared = acme.patch(&path, &json!({ "filter": null })).await;
    assert_eq!((cleared.status, cleared.body["filter"].is_null()), (200, true), "{}", cleared.text);
    assert_eq!(acme.delete(&path).await.status, 204);
    acme.get(&path).await.assert_problem(404, None);
    let versions: Vec<i64> =
        api.outbox().await.into_iter().filter(|(id, _, _)| *id == made.id()).map(|(_, version, _)| version).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_mapping_is_kept_as_it_was_written_until_it_is_removed() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let mapping =
        r#"{"body":{"rate":1.10,"who":{"$default":1e+400,"$path":"data.name"}},"method":"PATCH","path":["a"]}"#;
    let endpoint = format!(
        r#"{{"name": "a", "url": "https://public.example.com", "subscriptions": [{{"event_types": ["a"], "mapping": {mapping}}}]}}"#
    );
    let made = acme.post_text("/v1/endpoints", &endpoint).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(made.text.contains(mapping), "{}", made.text);
    let path = format!("/v1/subscriptions/{}", made.body["subscriptions"][0]["id"].as_str().unwrap());
    let unchanged = acme.patch(&path, &json!({ "event_types": ["b"] })).await;
    assert!(unchanged.text.contains(mapping), "{}", unchanged.text);
    let replaced = acme.patch(&path, &json!({ "mapping": { "body": "$.data" } })).await;
    assert_eq!(replaced.body["mapping"], json!({ "body": "$.data" }));
    assert_eq!(acme.patch(&path, &json!({ "mapping": null })).await.body["mapping"], json!(null));
    assert_eq!(acme.get(&path).await.body["mapping"], json!(null));
    let input = json!({ "endpoint_id": made.id(), "event_types": ["c"], "mapping": { "method": "PUT" } });
    assert_eq!(acme.post("/v1/subscriptions", &input).await.body["mapping"], json!({ "method": "PUT" }));
}
