use poem::http::Method;
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture, TenantClient};
use crate::auth::access::AccessConfig;

/// Makes a key with these settings; answers its id and its text.
async fn key(acme: &TenantClient<'_>, settings: Value) -> (String, String) {
    let mut input = json!({ "name": "key", "scopes": ["endpoints:read"] });
    input.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let made = acme.post("/v1/api-keys", &input).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (made.id(), text_of(&made))
}

fn text_of(answer: &Answer) -> String {
    answer.body["key"].as_str().expect("the key's text").to_owned()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

async fn endpoints(api: &Fixture, key: &str) -> Answer {
    api.call(Method::GET, "/v1/endpoints", key, None, None).await
}

#[tokio::test]
async fn a_rotated_key_works_with_both_texts_until_its_grace_period_is_over() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let (id, first) = key(&acme, json!({})).await;
    let path = format!("/v1/api-keys/{id}/rotate");

    let rotated = acme.post(&path, &json!({})).await;
    assert_eq!((rotated.status, rotated.id()), (200, id.clone()), "{}", rotated.text);
    let second = text_of(&rotated);
    assert!(rotated.body["previous_expires_at"].is_string(), "{}", rotated.text);
    for text in [&first, &second] {
        assert_eq!(endpoints(&api, text).await.status, 200);
    }
    // Another rotation ends the oldest; one without grace ends the one before at once.
    let third = text_of(&acme.post(&path, &json!({ "grace_seconds": 60 })).await);
    endpoints(&api, &first).await.assert_problem(401, None);
    assert_eq!(endpoints(&api, &second).await.status, 200);
    let fourth = text_of(&acme.post(&path, &json!({ "grace_seconds": 0 })).await);
    endpoints(&api, &third).await.assert_problem(401, None);
    assert_eq!(endpoints(&api, &fourth).await.status, 200);

    let list = acme.get("/v1/api-keys").await.text;
    assert!([&first, &second, &third, &fourth].iter().all(|text| !list.contains(*text)), "{list}");
    acme.post(&path, &json!({ "grace_seconds": 604_801 })).await.assert_problem(422, Some("/grace_seconds"));
    assert_eq!(acme.delete(&format!("/v1/api-keys/{id}")).await.status, 204);
    endpoints(&api, &fourth).await.assert_problem(401, None);
    acme.post(&path, &json!({})).await.assert_problem(409, None);
}

#[tokio::test]
async fn a_key_can_be_rotated_only_by_one_that_may_do_as_much() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let other = api.tenant("Other").await;
    let (_, narrow) = key(&acme, json!({ "scopes": ["api-keys:write", "api-keys:read"] })).await;
    let (wide, _) = key(&acme, json!({ "scopes": ["*"] })).await;
    let path = format!("/v1/api-keys/{wide}/rotate");
    api.call(Method::POST, &path, &narrow, None, Some("{}")).await.assert_problem(403, None);
    other.post(&path, &json!({})).await.assert_problem(404, None);
    other.get(&format!("/v1/api-keys/{wide}")).await.assert_problem(404, None);
    assert_eq!(acme.get(&format!("/v1/api-keys/{wide}")).await.body["scopes"], json!(["*"]));
}

#[tokio::test]
async fn a_key_over_its_limit_is_told_when_to_come_again() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let (id, limited) = key(&acme, json!({ "rate_limit": { "requests": 2, "period_seconds": 3600 } })).await;
    for remaining in ["1", "0"] {
        let answer = endpoints(&api, &limited).await;
        assert_eq!((answer.status, header(&answer, "ratelimit-limit")), (200, Some("2")));
        assert_eq!(header(&answer, "ratelimit-remaining"), Some(remaining));
        assert_eq!(header(&answer, "ratelimit-policy"), Some("2;w=3600"));
    }
    let refused = endpoints(&api, &limited).await;
    refused.assert_problem(429, None);
    assert_eq!(refused.body["type"], "/problems/rate-limited");
    let wait: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((3_590..=3_781).contains(&wait), "{wait}");
    assert_eq!(header(&refused, "ratelimit-remaining"), Some("0"));
    // Other keys are not concerned, and have no limit to tell of.
    let answer = acme.get("/v1/endpoints").await;
    assert_eq!((answer.status, header(&answer, "ratelimit-limit")), (200, None));

    api.access.usage().write(&api.database).await.unwrap();
    let usage = acme.get(&format!("/v1/api-keys/{id}/usage")).await;
    let entry = &usage.body["data"][0];
    assert_eq!(
        (&entry["route"], &entry["requests"], &entry["refused"]),
        (&json!("GET /v1/endpoints"), &json!(3), &json!(1))
    );
    assert_eq!(usage.body["data"].as_array().map(Vec::len), Some(1), "{}", usage.text);
    acme.get(&format!("/v1/api-keys/{id}/usage?days=91")).await.assert_problem(400, Some("days"));
}

#[tokio::test]
async fn a_process_lets_its_share_of_a_limit_through() {
    let api = Fixture::with(AccessConfig { rate_limit_share: 0.5, ..AccessConfig::default() }, None).await;
    let acme = api.tenant("Acme").await;
    let (_, limited) = key(&acme, json!({ "rate_limit": { "requests": 4, "period_seconds": 3600 } })).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(endpoints(&api, &limited).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn a_key_for_a_network_does_not_work_from_elsewhere() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    // These requests come from nowhere.
    let (_, elsewhere) = key(&acme, json!({ "allowed_cidrs": ["198.51.100.7/24", "2001:db8::/32"] })).await;
    endpoints(&api, &elsewhere).await.assert_problem(403, None);
    let list = acme.get("/v1/api-keys").await;
    assert_eq!(list.body["data"][1]["allowed_cidrs"], json!(["198.51.100.0/24", "2001:db8::/32"]), "{}", list.text);
}

#[tokio::test]
async fn a_keys_settings_are_checked() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let cases = [
        (json!({ "allowed_cidrs": ["198.51.100.0/33"] }), "/allowed_cidrs/0"),
        (json!({ "allowed_cidrs": vec!["10.0.0.0/8"; 51] }), "/allowed_cidrs"),
        (json!({ "rate_limit": { "requests": 0, "period_seconds": 1 } }), "/rate_limit/requests"),
        (json!({ "rate_limit": { "requests": 1, "period_seconds": 86_401 } }), "/rate_limit/period_seconds"),
        (json!({ "rate_limit": { "requests": 1 } }), "/rate_limit"),
    ];
    for (settings, field) in cases {
        let mut input = json!({ "name": "key", "scopes": ["*"] });
        input.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        acme.post("/v1/api-keys", &input).await.assert_problem(422, Some(field));
    }
}
