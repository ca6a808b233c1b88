use poem::{Request, http::Method};
use serde_json::{Value, json};

use super::fixture::Fixture;

/// An endpoint's input with one value replaced.
fn endpoint_with(field: &str, value: Value) -> Value {
    let mut input = json!({ "name": "hook", "url": "https://public.example.com/in" });
    input[field] = value;
    input
}

#[tokio::test]
async fn a_value_that_cant_be_accepted_is_named() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let filter = |filter: Value| json!([{ "event_types": ["a"], "filter": filter }]);
    let mapping = |mapping: Value| json!([{ "event_types": ["a"], "mapping": mapping }]);
    let cases = [
        ("url", json!("http://public.example.com/"), "/url"),
        ("url", json!("https://user:pw@public.example.com/"), "/url"),
        ("url", json!("https://127.0.0.1/"), "/url"),
        ("url", json!("https://2130706433/"), "/url"),
        ("url", json!("https://[::ffff:169.254.169.254]/"), "/url"),
        ("url", json!("https://inside.example.com/"), "/url"),
        ("url", json!("https://localhost/"), "/url"),
        ("url", json!("not a url"), "/url"),
        ("url", json!(7), "/url"),
        ("url", json!(format!("https://public.example.com/{}", "x".repeat(3_000))), "/url"),
        ("name", json!(""), "/name"),
        ("name", json!("   "), "/name"),
        ("name", json!("a\u{0}b"), "/name"),
        ("name", json!("x".repeat(201)), "/name"),
        ("name", json!(null), "/name"),
        ("description", json!("x".repeat(2_001)), "/description"),
        ("description", json!("\u{0}"), "/description"),
        ("timeout_ms", json!(999), "/timeout_ms"),
        ("timeout_ms", json!(60_001), "/timeout_ms"),
        ("timeout_ms", json!(-1), "/timeout_ms"),
        ("timeout_ms", json!(1.5), "/timeout_ms"),
        ("timeout_ms", json!("5000"), "/timeout_ms"),
        ("enabled", json!("yes"), "/enabled"),
        ("retry", json!({ "schedule": "nonsense" }), "/retry/schedule"),
        ("retry", json!({ "delays_seconds": [0] }), "/retry"),
        ("event_types", json!([]), "/event_types"),
        ("event_types", json!(["order.*.created"]), "/event_types/0"),
        ("event_types", json!(["a", ""]), "/event_types/1"),
        ("event_types", json!(vec!["a"; 101]), "/event_types"),
        ("event_types", json!([1]), "/event_types/0"),
        ("subscriptions", json!([{ "event_types": [] }]), "/subscriptions/0/event_types"),
        ("subscriptions", json!([{ "event_types": ["a"], "extra": 1 }]), "/subscriptions/0/extra"),
        ("subscriptions", json!(vec![json!({ "event_types": ["a"] }); 101]), "/subscriptions"),
        ("subscriptions", filter(json!({ "all": [{ "field": "data.a", "operator": "is", "value": 1 }] })), ""),
        ("subscriptions", filter(json!(7)), ""),
        ("subscriptions", mapping(json!({ "body": { "a": ["$.total"] } })), "/subscriptions/0/mapping/body/a/0"),
        ("subscriptions", mapping(json!({ "headers": { "Host": "a" } })), "/subscriptions/0/mapping/headers/Host"),
        ("subscriptions", mapping(json!({})), "/subscriptions/0/mapping"),
        ("subscriptions", mapping(json!("$.data")), "/subscriptions/0/mapping"),
        ("owner", json!("me"), "/owner"),
    ];
    for (name, value, field) in cases {
        let answer = acme.post("/v1/endpoints", &endpoint_with(name, value.clone())).await;
        assert_eq!(answer.status, 422, "{name} = {value}: {}", answer.text);
        if field.is_empty() {
            let named = answer.body["field"].as_str().unwrap_or_default();
            assert!(named.starts_with("/subscriptions/0/filter"), "{}", answer.text);
        } else {
            answer.assert_problem(422, Some(field));
        }
    }
    assert_eq!(acme.get("/v1/endpoints").await.body["data"], json!([]), "nothing was made");
}

#[tokio::test]
async fn a_host_that_does_not_resolve_yet_is_accepted() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let answer = acme.post("/v1/endpoints", &endpoint_with("url", json!("https://later.example.com/"))).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn a_patch_is_checked_like_what_is_made() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", endpoint.id());
    for (name, value) in [
        ("url", json!("https://10.0.0.1/")),
        ("url", json!("https://inside.example.com/")),
        ("name", json!("")),
        ("timeout_ms", json!(1)),
        ("subscriptions", json!([])),
    ] {
        acme.patch(&path, &json!({ name: value })).await.assert_problem(422, Some(&format!("/{name}")));
    }
    let path = format!("/v1/subscriptions/{}", endpoint.body["subscriptions"][0]["id"].as_str().expect("an id"));
    acme.patch(&path, &json!({ "event_types": ["a..*"] })).await.assert_problem(422, Some("/event_types/0"));
    let mapping = json!({ "mapping": { "body": { "$path": "total" } } });
    acme.patch(&path, &mapping).await.assert_problem(422, Some("/mapping/body/$path"));
    acme.patch(&path, &json!({ "endpoint_id": endpoint.id() })).await.assert_problem(422, Some("/endpoint_id"));
}

#[tokio::test]
async fn what_is_no_json_request_is_refused_before_it_is_read() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    for bad in ["", "{", r#"{"name": "a", "url": "https://public.example.com/"} trailing"#, "\u{0}"] {
        acme.post_text("/v1/endpoints", bad).await.assert_problem(400, None);
    }
    acme.post_text("/v1/endpoints", r#"["name", "https://public.example.com/"]"#).await.assert_problem(422, Some(""));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let filter = format!(
        r#"{{"name": "a", "url": "https://a.example.com", "subscriptions": [{{"event_types": ["a"], "filter": {deep}}}]}}"#
    );
    acme.post_text("/v1/endpoints", &filter).await.assert_problem(400, None);
    let request = |content_type: Option<&str>, body: Vec<u8>| {
        let request = Request::builder()
            .method(Method::POST)
            .uri_str("/v1/endpoints")
            .header("authorization", format!("Bearer {}", acme.key));
        match content_type {
            Some(content_type) => request.content_type(content_type).body(body),
            None => request.body(body),
        }
    };
    let json = br#"{"name": "a", "url": "https://public.example.com"}"#.to_vec();
    api.send(request(None, json.clone())).await.assert_problem(415, None);
    api.send(request(Some("text/plain"), json.clone())).await.assert_problem(415, None);
    assert_eq!(api.send(request(Some("application/json; charset=utf-8"), json)).await.status, 201);
    api.send(request(Some("application/json"), b"{\"name\": \"\xff\xfe\"}".to_vec())).await.assert_problem(400, None);
    api.send(request(Some("application/json"), vec![b' '; (2 << 20) + 1])).await.assert_problem(413, None);
}

#[tokio::test]
async fn an_endpoint_has_at_most_a_hundred_subscriptions() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let full = endpoint_with("subscriptions", json!(vec![json!({ "event_types": ["a"] }); 100]));
    let endpoint = acme.post("/v1/endpoints", &full).await;
    assert_eq!(endpoint.status, 201, "{}", endpoint.text);
    let one_more = json!({ "endpoint_id": endpoint.id(), "event_types": ["a"] });
    acme.post("/v1/subscriptions", &one_more).await.assert_problem(422, Some("/endpoint_id"));
}
