//! Endpoints that are replaced and patched, each change on the version that it was made for.

use poem::http::Method;
use postrider_domain::endpoint::EndpointSettings;
use serde_json::{Value, json};

use super::fixture::Fixture;

const URL: &str = "https://public.example.com/in";

#[tokio::test]
async fn a_replacement_sets_what_it_names_and_the_rest_to_its_default() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    let settings = json!({
        "description": "old", "timeout_ms": 1000, "signing": "x_webhook", "body": "raw",
        "headers": { "X-Kept": "s3cret", "X-Gone": "1" }, "rate_limit": { "per_second": 1 },
        "maintenance": [{ "from": "2026-01-31T12:00:00Z", "until": "2026-01-31T13:00:00Z" }],
    });
    assert_eq!(acme.patch(&path, &settings).await.status, 200);
    assert_eq!(acme.post(&format!("{path}/pause"), &json!({})).await.status, 200);
    let before = api.published_endpoint().await.1;

    let input = json!({ "name": "new", "url": URL, "headers": { "x-kept": "********", "X-New": "2" } });
    let replaced = acme.put(&path, &input).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    assert_eq!((&replaced.body["name"], &replaced.body["url"]), (&json!("new"), &json!(URL)));
    assert_eq!((&replaced.body["description"], &replaced.body["timeout_ms"]), (&json!(""), &json!(30_000)));
    assert_eq!(replaced.body["headers"], json!({ "X-Kept": "********", "X-New": "********" }));
    let (version, after) = api.published_endpoint().await;
    assert_eq!((version, after.secrets.len()), (4, 1), "secrets stay");
    let expected = EndpointSettings { paused: true, headers: after.settings.headers.clone(), ..Default::default() };
    assert_eq!(after.settings, expected);
    assert_eq!(after.settings.headers[0], before.settings.headers[1], "what is kept is not sealed anew");
    assert_eq!(acme.get("/v1/subscriptions").await.body["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn null_in_a_patch_brings_back_a_default_and_is_refused_where_there_is_none() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    let other = json!({
        "description": "x", "enabled": false, "timeout_ms": 1000, "retry": { "schedule": "fast" }, "body": "raw",
        "signing": "x_webhook", "headers": { "X-A": "1" }, "rate_limit": { "per_second": 1 },
    });
    assert_eq!(acme.patch(&path, &other).await.status, 200);
    let nulls: serde_json::Map<String, Value> =
        other.as_object().expect("an object").keys().map(|name| (name.clone(), Value::Null)).collect();
    let back = acme.patch(&path, &Value::Object(nulls)).await;
    assert_eq!(back.status, 200, "{}", back.text);
    for name in other.as_object().expect("an object").keys() {
        assert_eq!(back.body[name], made.body[name], "{name}");
    }
    for name in ["name", "url"] {
        acme.patch(&path, &json!({ name: null })).await.assert_problem(422, Some(&format!("/{name}")));
    }
}

#[tokio::test]
async fn a_change_is_made_only_to_the_version_that_it_names() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    let first = made.etag.clone().expect("an ETag");
    assert_eq!(acme.get(&path).await.etag.as_ref(), Some(&first));

    let input = json!({ "name": "mine" });
    let mine = acme.call_if(Method::PATCH, &path, &first, Some(&input)).await;
    assert_eq!(mine.status, 200, "{}", mine.text);
    let second = mine.etag.expect("an ETag");
    assert_ne!(first, second);
    let (pause, replacement) = (format!("{path}/pause"), json!({ "name": "theirs", "url": URL }));
    let changes = [
        (Method::PATCH, path.as_str(), Some(&input)),
        (Method::PUT, &path, Some(&replacement)),
        (Method::POST, &pause, None),
        (Method::DELETE, &path, None),
    ];
    for (method, path, body) in changes {
        acme.call_if(method, path, &first, body).await.assert_problem(412, Some("If-Match"));
    }
    assert_eq!(api.published_endpoint().await.0, 2, "nothing was changed");
    acme.call_if(Method::DELETE, &path, "nonsense", None).await.assert_problem(400, Some("If-Match"));
    assert_eq!(acme.call_if(Method::DELETE, &path, &format!("{first}, {second}"), None).await.status, 204);
}

#[tokio::test]
async fn a_subscription_is_changed_only_at_the_version_that_is_named() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/subscriptions/{}", made.body["subscriptions"][0]["id"].as_str().expect("an id"));
    let first = acme.get(&path).await.etag.expect("an ETag");
    let input = json!({ "event_types": ["order.*"] });
    let second = acme.call_if(Method::PATCH, &path, &first, Some(&input)).await.etag.expect("an ETag");
    acme.call_if(Method::PATCH, &path, &first, Some(&input)).await.assert_problem(412, Some("If-Match"));
    acme.call_if(Method::DELETE, &path, &first, None).await.assert_problem(412, Some("If-Match"));
    assert_eq!(acme.call_if(Method::DELETE, &path, &second, None).await.status, 204);
}
