//! API keys: needed, scoped, shown once, revocable.

use postrider_testkit::{ApiClient, eventually};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Context, Deployment, LIMIT, Test, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![a_request_needs_a_key_that_may_do_what_it_asks, operator_keys_are_made_listed_and_revoked_by_command]
}

async fn a_request_needs_a_key_that_may_do_what_it_asks(context: Context) {
    let deployment = Deployment::start(&context, "keys").await;
    let tenant = deployment.tenant().await;

    // None, nonsense, and one that is almost right.
    let base = deployment.operator();
    let without = base.request(reqwest::Method::GET, "/v1/endpoints").build().unwrap().url().to_string();
    let answer = reqwest::get(without).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    let mut almost = tenant.key.clone();
    almost.pop();
    for key in ["nonsense", "pr_x_y", almost.as_str(), &format!("{}x", tenant.key)] {
        let (status, problem) = base.with_key(key).get("/v1/endpoints").await.unwrap();
        assert_eq!((status, &problem["type"]), (StatusCode::UNAUTHORIZED, &json!("/problems/unauthenticated")));
    }

    // A key may do what its scopes say and nothing else.
    let reader = tenant.create_key(&["endpoints:read", "events:publish"]).await;
    let api = base.with_key(reader["key"].as_str().unwrap());
    assert_eq!(api.get("/v1/endpoints").await.unwrap().0, StatusCode::OK);
    assert_eq!(api.post("/v1/events", &json!({"type": "a", "data": 1})).await.unwrap().0, StatusCode::ACCEPTED);
    let endpoint = json!({"name": "x", "url": "https://127.0.0.1/"});
    let forbidden = [
        api.post("/v1/endpoints", &endpoint).await.unwrap(),
        api.delete("/v1/endpoints/ep_00000000000000000000000000").await.unwrap(),
        api.get("/v1/subscriptions").await.unwrap(),
        api.get("/v1/deliveries").await.unwrap(),
        api.get("/v1/api-keys").await.unwrap(),
        api.post("/v1/api-keys", &json!({"name": "x", "scopes": ["*"]})).await.unwrap(),
        api.get("/v1/tenants").await.unwrap(),
    ];
    for (status, problem) in forbidden {
        assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("/problems/forbidden")), "{problem}");
    }

    // A key grants no more than it holds, and its text is shown once.
    let granter = tenant.create_key(&["api-keys:write", "endpoints:read"]).await;
    let granting = base.with_key(granter["key"].as_str().unwrap());
    let greedy = json!({"name": "x", "scopes": ["endpoints:write"]});
    assert_eq!(granting.post("/v1/api-keys", &greedy).await.unwrap().0, StatusCode::FORBIDDEN);
    let listed = tenant.list("/v1/api-keys").await;
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|key| key.get("key").is_none()), "{listed:?}");

    // Revoked, it stops working; expired, too.
    let path = format!("/v1/api-keys/{}", reader["id"].as_str().unwrap());
    assert_eq!(tenant.api.delete(&path).await.unwrap().0, StatusCode::NO_CONTENT);
    eventually(LIMIT, "the revoked key to stop working", async || {
        (api.get("/v1/endpoints").await.unwrap().0 == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    let soon = (postrider_control::clock::now() + std::time::Duration::from_millis(1_500)).to_rfc3339();
    let brief = json!({"name": "brief", "scopes": ["endpoints:read"], "expires_at": soon});
    let (status, brief) = tenant.api.post("/v1/api-keys", &brief).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{brief}");
    let api = base.with_key(brief["key"].as_str().unwrap());
    assert_eq!(api.get("/v1/endpoints").await.unwrap().0, StatusCode::OK);
    eventually(LIMIT, "the key to expire", async || {
        (api.get("/v1/endpoints").await.unwrap().0 == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}

async fn operator_keys_are_made_listed_and_revoked_by_command(context: Context) {
    let deployment = Deployment::start(&context, "operators").await;
    let config = deployment.settings.to_text();
    let run = async |arguments: &[&str]| {
        let finished = postrider(arguments, Some(&config), &[]).await;
        assert_eq!(finished.code, 0, "{arguments:?}: {finished:?}");
        finished
    };
    let made = run(&["keys", "create", "--name", "ops"]).await;
    let key = made.stdout.trim();
    assert!(key.starts_with("pr_") && !key.contains(char::is_whitespace), "the key alone: {made:?}");
    let api: ApiClient = deployment.client(key);
    assert_eq!(api.get("/v1/tenants").await.unwrap().0, StatusCode::OK);

    let listed = run(&["keys", "list"]).await.stdout;
    assert!(!listed.contains(key), "the list shows a key");
    let line = listed.lines().find(|line| line.ends_with("ops")).unwrap();
    assert!(line.contains("active"), "{line}");
    run(&["keys", "revoke", line.split_whitespace().next().unwrap()]).await;
    eventually(LIMIT, "the revoked key to stop working", async || {
        (api.get("/v1/tenants").await.unwrap().0 == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert!(run(&["keys", "list"]).await.stdout.contains("revoked"));
}
