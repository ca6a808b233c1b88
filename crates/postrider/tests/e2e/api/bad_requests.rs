//! Bad requests: a problem that names the field, never a 500.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Tenant, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![what_can_not_be_accepted_is_a_problem_that_names_the_field, what_can_not_be_read_is_a_problem]
}

async fn send(tenant: &Tenant, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = tenant.api.request(method, path).header("content-type", content_type).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    if status.is_client_error() {
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
    }
    (status, answer.json().await.unwrap_or(Value::Null))
}

async fn what_can_not_be_accepted_is_a_problem_that_names_the_field(context: Context) {
    let deployment = Deployment::start(&context, "values").await;
    let tenant = deployment.tenant().await;
    let url = "https://127.0.0.1/hook";
    let long = |length: usize| "x".repeat(length);
    let mut deep = json!({"field": "data.a", "operator": "exists"});
    for _ in 0..40 {
        deep = json!({"not": deep});
    }
    let filter =
        |filter: Value| json!({"name": "x", "url": url, "subscriptions": [{"event_types": ["*"], "filter": filter}]});
    let condition = |operator: &str, value: Value| json!({"field": "data.a", "operator": operator, "value": value});
    let cases = [
        ("/v1/endpoints", json!({"url": url}), ""),
        ("/v1/endpoints", json!({"name": "x"}), ""),
        ("/v1/endpoints", json!({"name": "", "url": url}), "/name"),
        ("/v1/endpoints", json!({"name": 7, "url": url}), "/name"),
        ("/v1/endpoints", json!({"name": long(201), "url": url}), "/name"),
        ("/v1/endpoints", json!({"name": "a\u{0}b", "url": url}), "/name"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "colour": "red"}), "/colour"),
        ("/v1/endpoints", json!({"name": "x", "url": format!("https://127.0.0.1/{}", long(2_048))}), "/url"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "description": long(2_001)}), "/description"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "timeout_ms": 999}), "/timeout_ms"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "timeout_ms": "1s"}), "/timeout_ms"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "enabled": "yes"}), "/enabled"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "event_types": []}), "/event_types"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "event_types": ["ok", "order.*.paid"]}), "/event_types/1"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "retry": {"schedule": "slow"}}), "/retry"),
        ("/v1/endpoints", json!({"name": "x", "url": url, "retry": {"delays_seconds": [0]}}), "/retry"),
        ("/v1/endpoints", filter(condition("sounds_like", json!(1))), "/subscriptions/0/filter"),
        ("/v1/endpoints", filter(condition("regex", json!("("))), "/subscriptions/0/filter"),
        ("/v1/endpoints", filter(condition("regex", json!("(a{1000}){1000}"))), "/subscriptions/0/filter"),
        ("/v1/endpoints", filter(condition("greater_than", json!([1]))), "/subscriptions/0/filter"),
        ("/v1/endpoints", filter(deep), "/subscriptions/0/filter"),
        ("/v1/events", json!({"type": "order created", "data": 1}), "/type"),
        ("/v1/events", json!({"type": long(257), "data": 1}), "/type"),
        ("/v1/events", json!({"type": "a", "data": 1, "id": ""}), "/id"),
        ("/v1/events", json!({"type": "a", "data": 1, "subject": long(257)}), "/subject"),
        ("/v1/events", json!({"type": "a", "data": 1, "time": "yesterday"}), "/time"),
        ("/v1/api-keys", json!({"name": "x", "scopes": []}), "/scopes"),
        ("/v1/api-keys", json!({"name": "x", "scopes": ["endpoints:fly"]}), "/scopes/0"),
        ("/v1/api-keys", json!({"name": "x", "scopes": ["*"], "expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
    ];
    for (path, body, field) in cases {
        let (status, problem) = send(&tenant, "POST", path, "application/json", body.to_string().into_bytes()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {body:.200}: {problem}");
        let named = problem["field"].as_str().unwrap_or_default();
        assert!(named.starts_with(field), "{path} {body:.200}: '{named}' is not '{field}'");
        assert_eq!(problem["status"], 422);
        assert!(problem["detail"].as_str().unwrap().len() > 5, "{problem}");
        assert!(problem["request_id"].as_str().unwrap().starts_with("req_"), "{problem}");
    }
    assert!(tenant.list("/v1/endpoints").await.is_empty(), "nothing was made");
}

async fn what_can_not_be_read_is_a_problem(context: Context) {
    let deployment = Deployment::start(&context, "requests").await;
    let tenant = deployment.tenant().await;
    let json = "application/json";
    let event = |data: &str| format!(r#"{{"type":"a","data":{data}}}"#).into_bytes();
    let big = format!("\"{}\"", "x".repeat((1 << 20) + 1));
    let cases: Vec<(&str, &str, &str, Vec<u8>, u16)> = vec![
        ("POST", "/v1/endpoints", json, b"".to_vec(), 400),
        ("POST", "/v1/endpoints", json, b"{\"name\":".to_vec(), 400),
        ("POST", "/v1/endpoints", json, b"{\"name\":\"\xff\"}".to_vec(), 400),
        ("POST", "/v1/endpoints", json, b"{} trailing".to_vec(), 422),
        ("POST", "/v1/endpoints", json, b"[]".to_vec(), 422),
        ("POST", "/v1/endpoints", "text/plain", b"{}".to_vec(), 415),
        ("POST", "/v1/events", json, event(&big), 413),
        ("POST", "/v1/events", json, vec![b' '; 3 << 20], 413),
        ("POST", "/v1/subscriptions", json, br#"{"endpoint_id":"ep_x","event_types":["*"]}"#.to_vec(), 404),
        ("GET", "/v1/endpoints?limit=-1", json, vec![], 400),
        ("GET", "/v1/endpoints?cursor=%FF", json, vec![], 400),
        ("GET", "/v1/endpoints/ep_%00", json, vec![], 404),
        ("GET", "/v1/endpoints/..%2f..%2fetc", json, vec![], 404),
        ("GET", "/v1/nothing", json, vec![], 404),
        ("PUT", "/v1/endpoints", json, b"{}".to_vec(), 405),
        ("DELETE", "/v1/events", json, vec![], 405),
    ];
    for (method, path, content_type, body, expected) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let (status, problem) = send(&tenant, method, path, content_type, body).await;
        assert_eq!(status.as_u16(), expected, "{method} {path} {shown}: {problem}");
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"), "{method} {path}: {problem}");
    }
    // An operator's key needs to be told which tenant; the header is named.
    let operator = deployment.operator();
    let (status, problem) = operator.get("/v1/endpoints").await.unwrap();
    assert_eq!((status, &problem["field"]), (StatusCode::BAD_REQUEST, &json!("Postrider-Tenant")), "{problem}");
    let named = |tenant: &'static str| {
        let request = operator.request(Method::GET, "/v1/endpoints").header("Postrider-Tenant", tenant);
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(named("nobody").await, StatusCode::BAD_REQUEST);
    assert_eq!(named("ten_00000000000000000000000000").await, StatusCode::NOT_FOUND);
}
