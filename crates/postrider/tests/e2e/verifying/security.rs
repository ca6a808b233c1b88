//! Security events and address rules, as a tenant and an operator see them.

use postrider_testkit::{ApiClient, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![what_is_refused_is_noted_listed_and_counted, an_operator_lets_a_tenant_in_that_its_address_rules_keep_out]
}

async fn what_is_refused_is_noted_listed_and_counted(context: Context) {
    let deployment = Deployment::start(&context, "refused-noted").await;
    let (tenant, other) = (deployment.tenant().await, deployment.tenant().await);
    let api = |key: &str| deployment.client(key);
    let status = async |api: &ApiClient, path: &str| api.get(path).await.unwrap().0;

    // A key that nobody knows; a scope that is missing; another tenant; an address; a limit; a URL that leads inside.
    let unknown = format!("pr_0123456789ab_{}", "A".repeat(43));
    for _ in 0..3 {
        assert_eq!(status(&api(&unknown), "/v1/endpoints").await, StatusCode::UNAUTHORIZED);
    }
    let reader = tenant.create_key(&["endpoints:read"]).await;
    let reader = api(reader["key"].as_str().unwrap());
    assert_eq!(status(&reader, "/v1/audit-log").await, StatusCode::FORBIDDEN);
    let foreign = reader.request(Method::GET, "/v1/endpoints").header("postrider-tenant", &other.id);
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    for (settings, expected) in [
        (json!({"allowed_cidrs": ["203.0.113.0/24"]}), StatusCode::FORBIDDEN),
        (json!({"rate_limit": {"requests": 1, "period_seconds": 3600}}), StatusCode::TOO_MANY_REQUESTS),
    ] {
        let mut input = json!({"name": "narrow", "scopes": ["endpoints:read"]});
        input.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let (made, key) = tenant.api.post("/v1/api-keys", &input).await.unwrap();
        assert_eq!(made, StatusCode::CREATED, "{key}");
        let narrow = api(key["key"].as_str().unwrap());
        status(&narrow, "/v1/endpoints").await;
        assert_eq!(status(&narrow, "/v1/endpoints").await, expected);
    }
    let inside = json!({"name": "inside", "url": "https://169.254.169.254/latest/meta-data"});
    let (refused, body) = tenant.api.post("/v1/endpoints", &inside).await.unwrap();
    assert_eq!(refused, StatusCode::UNPROCESSABLE_ENTITY, "{body}");

    let expected = [("address_blocked", 2), ("rate_limited", 1), ("scope_violation", 2), ("ssrf_refused", 1)];
    let kinds = eventually(LIMIT, "everything to be noted", async || {
        let (_, counts) = tenant.api.get("/v1/security-events/counts").await.unwrap();
        let mut kinds: Vec<(String, i64)> = counts["data"].as_array()?.iter().map(counted).collect();
        kinds.sort_unstable();
        (kinds.len() == expected.len()).then_some(kinds)
    })
    .await;
    assert_eq!(kinds, expected.map(|(kind, count)| (kind.to_owned(), count)));
    for (kind, _) in expected {
        let listed = tenant.list(&format!("/v1/security-events?kind={kind}&remote_addr=127.0.0.1")).await;
        assert!(listed.iter().all(|event| event["tenant_id"] == tenant.id && event["kind"] == kind), "{listed:?}");
        assert!(!listed.is_empty(), "{kind}");
    }
    assert_eq!(other.list("/v1/security-events").await, Vec::<Value>::new(), "it is none of theirs");
    // Nobody knows whose the unknown key was: operators see it.
    let (_, bad) = deployment.operator().get("/v1/security-events/counts?kind=bad_key").await.unwrap();
    assert_eq!(bad["data"].as_array().unwrap().iter().map(counted).collect::<Vec<_>>(), [("bad_key".to_owned(), 3)]);
}

fn counted(count: &Value) -> (String, i64) {
    (count["kind"].as_str().unwrap().to_owned(), count["count"].as_i64().unwrap())
}

async fn an_operator_lets_a_tenant_in_that_its_address_rules_keep_out(context: Context) {
    let deployment = Deployment::start(&context, "ip-rules").await;
    let tenant = deployment.tenant().await;
    let put = async |by: &ApiClient, rules: &Value| {
        let request = by.request(Method::PUT, "/v1/ip-rules").header("postrider-tenant", &tenant.id).json(rules);
        request.send().await.unwrap().status()
    };
    let elsewhere = json!({"allow": ["203.0.113.0/24"], "block": []});
    assert_eq!(put(&tenant.api, &elsewhere).await, StatusCode::UNPROCESSABLE_ENTITY, "it would lock itself out");
    assert_eq!(tenant.api.get("/v1/endpoints").await.unwrap().0, StatusCode::OK);

    let operator = deployment.operator();
    assert_eq!(put(&operator, &elsewhere).await, StatusCode::OK);
    let (status, refused) = tenant.api.get("/v1/endpoints").await.unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("127.0.0.1")), "{refused}");
    let mended = json!({"allow": ["127.0.0.0/8"], "block": ["127.0.0.9"]});
    assert_eq!(put(&operator, &mended).await, StatusCode::OK);
    assert_eq!(tenant.api.get("/v1/endpoints").await.unwrap().0, StatusCode::OK);
    let changes = tenant.list("/v1/audit-log?action=ip_rules.update").await;
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[0]["before"]["allow"], json!(["203.0.113.0/24"]), "{changes:?}");
}
