//! API keys over several processes, and from addresses behind a proxy.

use postrider_testkit::{ApiClient, eventually};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Context, Deployment, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![
        every_process_sees_a_revoked_and_a_rotated_key_within_a_second,
        addresses_are_told_apart_behind_a_trusted_proxy,
    ]
}

async fn every_process_sees_a_revoked_and_a_rotated_key_within_a_second(context: Context) {
    let deployment = Deployment::start(&context, "revoke").await;
    let mut second = deployment.serve(&["--roles", "api"]);
    second.ready().await;
    let tenant = deployment.tenant().await;
    let made = tenant.create_key(&["endpoints:read"]).await;
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    let at_second = |key: &Value| ApiClient::new(&second.process.api_url(), key.as_str().unwrap());
    let first_text = at_second(&made["key"]);
    let status = async |api: &ApiClient| api.get("/v1/endpoints").await.unwrap().0;
    assert_eq!(status(&first_text).await, StatusCode::OK);

    let (rotated, answer) = tenant.api.post(&format!("{path}/rotate"), &json!({})).await.unwrap();
    assert_eq!(rotated, StatusCode::OK, "{answer}");
    let second_text = at_second(&answer["key"]);
    assert_eq!((status(&first_text).await, status(&second_text).await), (StatusCode::OK, StatusCode::OK));
    let (rotated, _) = tenant.api.post(&format!("{path}/rotate"), &json!({"grace_seconds": 0})).await.unwrap();
    assert_eq!(rotated, StatusCode::OK);
    assert_eq!(status(&second_text).await, StatusCode::UNAUTHORIZED, "there was no grace");

    let other = tenant.create_key(&["endpoints:read"]).await;
    let api = at_second(&other["key"]);
    assert_eq!(status(&api).await, StatusCode::OK);
    let path = format!("/v1/api-keys/{}", other["id"].as_str().unwrap());
    let revoked_at = Instant::now();
    assert_eq!(tenant.api.delete(&path).await.unwrap().0, StatusCode::NO_CONTENT);
    eventually(LIMIT, "the other process to refuse the key", async || {
        (status(&api).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert!(revoked_at.elapsed().as_secs_f64() < 1.0, "it took {:?}", revoked_at.elapsed());
    assert!(second.terminate().await.success());
}

async fn addresses_are_told_apart_behind_a_trusted_proxy(context: Context) {
    let configuration = "[api]\ntrusted_proxies = [\"127.0.0.0/8\"]\nlockout_bad_keys = 3";
    let deployment = Deployment::with(&context, "proxied", configuration).await;
    let tenant = deployment.tenant().await;
    let from = async |api: &ApiClient, forwarded: &str| -> (StatusCode, HeaderMap, Value) {
        let request = api.request(Method::GET, "/v1/endpoints").header("x-forwarded-for", forwarded);
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        (status, headers, answer.json().await.unwrap())
    };
    let input = json!({"name": "office", "scopes": ["endpoints:read"], "allowed_cidrs": ["198.51.100.0/24"]});
    let (status, office) = tenant.api.post("/v1/api-keys", &input).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{office}");
    let office = tenant.api.with_key(office["key"].as_str().unwrap());
    assert_eq!(from(&office, "198.51.100.7").await.0, StatusCode::OK);
    assert_eq!(from(&office, "203.0.113.9").await.0, StatusCode::FORBIDDEN);
    assert_eq!(from(&office, "198.51.100.7, 203.0.113.9").await.0, StatusCode::FORBIDDEN, "a caller wrote the first");

    let bad = tenant.api.with_key("pr_0123456789ab_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for _ in 0..3 {
        assert_eq!(from(&bad, "203.0.113.66").await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, headers, problem) = from(&tenant.api, "203.0.113.66").await;
    assert_eq!((status, &problem["type"]), (StatusCode::TOO_MANY_REQUESTS, &json!("/problems/locked-out")));
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((800..=900).contains(&wait), "{wait}");
    assert_eq!(from(&tenant.api, "203.0.113.67").await.0, StatusCode::OK, "others are not locked out");

    // What was refused can be seen.
    let operator = deployment.operator();
    for kind in ["bad_key", "locked_out", "address_blocked"] {
        eventually(LIMIT, &format!("a security event of kind {kind}"), async || {
            let (_, events) = operator.get(&format!("/v1/security-events?kind={kind}")).await.unwrap();
            (!events["data"].as_array()?.is_empty()).then_some(())
        })
        .await;
    }
}
