use poem::http::Method;
use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::{
    auth::{
        access::AccessConfig,
        token::{
            Tokens,
            tests::{FakeSource, Issuer, config},
        },
    },
    clock,
};

#[tokio::test]
async fn a_token_of_the_issuer_is_a_key_of_the_tenant_that_it_names() {
    let (issuer, source) = (Issuer::new("one"), FakeSource::default());
    *source.answer.lock() = Some(issuer.jwks());
    let api = Fixture::with(AccessConfig::default(), Some(Tokens::new(config(), source))).await;
    let acme = api.tenant("Acme").await;
    let other = api.tenant("Other").await;
    let sign = |tenant: &str, scope: &str| {
        let expires = clock::now().as_seconds() + 300;
        issuer.sign(&json!({
            "iss": "https://issuer.example", "aud": "postrider", "sub": "ann", "exp": expires,
            "tenant": tenant, "scope": scope,
        }))
    };
    let get = |token: String, tenant: Option<String>| {
        let api = &api;
        async move { api.call(Method::GET, "/v1/endpoints", &token, tenant.as_deref(), None).await }
    };
    acme.endpoint().await;
    let token = sign(&acme.id, "endpoints:read endpoints:write");
    let answer = get(token.clone(), None).await;
    assert_eq!((answer.status, answer.body["data"].as_array().map(Vec::len)), (200, Some(1)), "{}", answer.text);
    // What the token does not say, it may not.
    api.call(Method::GET, "/v1/subscriptions", &token, None, None).await.assert_problem(403, None);
    api.call(Method::GET, "/v1/tenants", &token, None, None).await.assert_problem(403, None);
    get(token.clone(), Some(other.id.clone())).await.assert_problem(403, Some("Postrider-Tenant"));
    assert_eq!(get(sign(&other.id, "*"), None).await.body["data"], json!([]));
    // An operator's names the tenant.
    let operator = sign("*", "*");
    assert_eq!(get(operator.clone(), Some(acme.id.clone())).await.status, 200);
    assert_eq!(api.call(Method::GET, "/v1/tenants", &operator, None, None).await.status, 200);
    get(sign("ten_00000000000000000000000000", "*"), None).await.assert_problem(403, None);
    get(format!("{token}x"), None).await.assert_problem(401, None);

    // Who changes something is named in the audit log.
    let endpoint = json!({ "name": "by token", "url": "https://public.example.com/" }).to_string();
    let made = api.call(Method::POST, "/v1/endpoints", &token, None, Some(&endpoint)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let suspend = format!("/v1/tenants/{}/suspend", acme.id);
    let reason = Some(r#"{"reason": "unpaid"}"#);
    assert_eq!(api.call(Method::POST, &suspend, &api.operator_key, None, reason).await.status, 200);
    let refused = get(token, None).await;
    assert_eq!((refused.status, &refused.body["type"]), (403, &Value::from("/problems/tenant-suspended")));
}
