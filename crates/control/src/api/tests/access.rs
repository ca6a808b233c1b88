use poem::{Request, http::Method};
use serde_json::json;

use super::fixture::Fixture;

#[tokio::test]
async fn without_a_working_key_nothing_is_told() {
    let api = Fixture::new().await;
    api.send(Request::builder().uri_str("/v1/tenants").finish()).await.assert_problem(401, None);
    let basic = Request::builder().uri_str("/v1/tenants").header("authorization", "Basic Zm9vOmJhcg==").finish();
    api.send(basic).await.assert_problem(401, None);
    for key in ["", "x", "pr_0123456789ab_AAAA", &format!("{}x", api.operator_key), &"k".repeat(10_000)] {
        api.call(Method::GET, "/v1/tenants", key, None, None).await.assert_problem(401, None);
    }
    // Same prefix, another secret.
    let forged = format!("{}_{}", &api.operator_key[..15], "A".repeat(43));
    api.call(Method::GET, "/v1/tenants", &forged, None, None).await.assert_problem(401, None);
    let answer = api.call(Method::GET, "/v1/tenants", &api.operator_key, None, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_cover_until_it_is_revoked() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let input = json!({ "name": "reader", "scopes": ["endpoints:read"], "expires_at": "2999-01-01T00:00:00Z" });
    let reader = acme.post("/v1/api-keys", &input).await;
    assert_eq!(reader.status, 201, "{}", reader.text);
    let key = reader.body["key"].as_str().expect("a key").to_owned();

    assert_eq!(api.call(Method::GET, "/v1/endpoints", &key, None, None).await.status, 200);
    api.call(Method::GET, "/v1/subscriptions", &key, None, None).await.assert_problem(403, None);
    let endpoint = json!({ "name": "hook", "url": "https://public.example.com/" }).to_string();
    api.call(Method::POST, "/v1/endpoints", &key, None, Some(&endpoint)).await.assert_problem(403, None);

    let list = acme.get("/v1/api-keys").await;
    assert_eq!(list.body["data"].as_array().map(Vec::len), Some(2), "{}", list.text);
    assert!(!list.text.contains(&key), "a list never shows a key");
    assert!(list.body["data"][1]["last_used_at"].is_string(), "{}", list.text);

    let path = format!("/v1/api-keys/{}", reader.id());
    assert_eq!(acme.delete(&path).await.status, 204);
    api.call(Method::GET, "/v1/endpoints", &key, None, None).await.assert_problem(401, None);
    assert_eq!(acme.delete(&path).await.status, 204, "revoking again changes nothing");
}

/// A path or a query may be all that a chat's webhook asks for.
#[tokio::test]
async fn who_can_not_change_endpoints_is_shown_no_more_of_their_urls_than_the_origin() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let secret = json!({ "name": "hook", "url": "https://public.example.com/services/T1?sig=s3cret" });
    let made = acme.post("/v1/endpoints", &secret).await;
    let reader = acme.post("/v1/api-keys", &json!({ "name": "reader", "scopes": ["endpoints:read"] })).await;
    let writer = json!({ "name": "writer", "scopes": ["endpoints:read", "endpoints:write"] });
    let writer = acme.post("/v1/api-keys", &writer).await;
    let path = format!("/v1/endpoints/{}", made.id());
    for (key, shown) in [(&reader, "https://public.example.com/********"), (&writer, secret["url"].as_str().unwrap())] {
        let key = key.body["key"].as_str().expect("a key");
        let got = api.call(Method::GET, &path, key, None, None).await;
        let listed = api.call(Method::GET, "/v1/endpoints", key, None, None).await;
        assert_eq!((&got.body["url"], &listed.body["data"][0]["url"]), (&json!(shown), &json!(shown)), "{}", got.text);
    }
}

#[tokio::test]
async fn a_foreign_tenants_id_is_not_found() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let other = api.tenant("Other").await;
    let endpoint = acme.endpoint().await;
    let subscription = endpoint.body["subscriptions"][0]["id"].as_str().expect("an id").to_owned();
    let paths = [format!("/v1/endpoints/{}", endpoint.id()), format!("/v1/subscriptions/{subscription}")];
    for path in &paths {
        assert_eq!(acme.get(path).await.status, 200);
        other.get(path).await.assert_problem(404, None);
        other.patch(path, &json!({})).await.assert_problem(404, None);
        other.delete(path).await.assert_problem(404, None);
    }
    let stolen = json!({ "endpoint_id": endpoint.id(), "event_types": ["*"] });
    other.post("/v1/subscriptions", &stolen).await.assert_problem(404, Some("/endpoint_id"));
    assert_eq!(other.get("/v1/endpoints").await.body["data"], json!([]));
    let of_endpoint = format!("/v1/subscriptions?endpoint_id={}", endpoint.id());
    assert_eq!(other.get(&of_endpoint).await.body["data"], json!([]));
    // A tenant's key names no other tenant, and manages none.
    api.call(Method::GET, "/v1/endpoints", &other.key, Some(&acme.id), None)
        .await
        .assert_problem(403, Some("Postrider-Tenant"));
    other.get("/v1/tenants").await.assert_problem(403, None);
    other.delete(&format!("/v1/tenants/{}", other.id)).await.assert_problem(403, None);
}

#[tokio::test]
async fn an_operator_names_the_tenant() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let key = &api.operator_key;
    let header = Some("Postrider-Tenant");
    api.call(Method::GET, "/v1/endpoints", key, None, None).await.assert_problem(400, header);
    api.call(Method::GET, "/v1/endpoints", key, Some("nonsense"), None).await.assert_problem(400, header);
    let nobody = "ten_00000000000000000000000000";
    api.call(Method::GET, "/v1/endpoints", key, Some(nobody), None).await.assert_problem(404, header);
    assert_eq!(api.call(Method::GET, "/v1/endpoints", key, Some(&acme.id), None).await.status, 200);
}

#[tokio::test]
async fn health_needs_no_key_and_names_what_is_unready() {
    let api = Fixture::new().await;
    let get = |path: &str| Request::builder().uri_str(path).finish();
    assert_eq!(api.send(get("/healthz")).await.text, "ok\n");
    assert_eq!(api.send(get("/metrics")).await.text, "postrider_up 1\n");
    assert_eq!(api.send(get("/readyz")).await.status, 200);
    let handle = api.readiness.register("relay");
    handle.unready("no lock");
    let unready = api.send(get("/readyz")).await;
    assert_eq!(unready.status, 503);
    assert_eq!(unready.body["parts"], json!([{ "name": "relay", "status": "unready", "reason": "no lock" }]));
    handle.ready();
    assert_eq!(api.send(get("/readyz")).await.status, 200);
}

#[tokio::test]
async fn the_document_and_its_page_need_no_key() {
    let api = Fixture::new().await;
    let get = |path: &str| Request::builder().uri_str(path).finish();
    assert_eq!(api.send(get("/openapi.json")).await.body["info"]["title"], "Postrider");
    let page = api.send(get("/docs")).await;
    assert_eq!((page.status, page.content_type.starts_with("text/html")), (200, true));
    api.send(get("/nowhere")).await.assert_problem(404, None);
    api.send(Request::builder().method(Method::PUT).uri_str("/v1/tenants").finish()).await.assert_problem(405, None);
}

#[tokio::test]
async fn without_postgres_the_answer_is_503() {
    let api = Fixture::new().await;
    api.database.close().await;
    api.call(Method::GET, "/v1/tenants", &api.operator_key, None, None).await.assert_problem(503, None);
}
