use poem::http::Method;
use postrider_domain::ConfigBody;
use serde_json::{Value, json};

use super::fixture::Fixture;

#[tokio::test]
async fn a_tenant_is_made_renamed_and_found() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/tenants/{}", acme.id);
    let call = |method: Method, body: Option<&'static str>| api.call(method, &path, &api.operator_key, None, body);
    assert_eq!(call(Method::GET, None).await.body["name"], "Acme");
    assert_eq!(call(Method::PATCH, Some(r#"{"name": " Acme GmbH "}"#)).await.body["name"], "Acme GmbH");
    assert_eq!(call(Method::GET, None).await.body["name"], "Acme GmbH");
    let nobody = "/v1/tenants/ten_00000000000000000000000000";
    api.call(Method::GET, nobody, &api.operator_key, None, None).await.assert_problem(404, None);
    api.call(Method::DELETE, "/v1/tenants/x%00y", &api.operator_key, None, None).await.assert_problem(404, None);
}

#[tokio::test]
async fn deleting_a_tenant_deletes_what_it_owns_each_with_a_record() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let other = api.tenant("Other").await;
    let endpoint = acme.endpoint().await;
    other.endpoint().await;
    let before = api.outbox().await.len();
    let path = format!("/v1/tenants/{}", acme.id);
    assert_eq!(api.call(Method::DELETE, &path, &api.operator_key, None, None).await.status, 204);

    let deleted: Vec<_> = api.outbox().await.split_off(before);
    let ids: Vec<&str> = deleted.iter().map(|(id, _, _)| id.as_str()).collect();
    let subscription = endpoint.body["subscriptions"][0]["id"].as_str().expect("an id");
    assert_eq!(ids, [subscription, &endpoint.id(), &acme.id]);
    assert!(deleted.iter().all(|(_, version, body)| *version == 2 && matches!(body, ConfigBody::Deleted(_))));
    acme.get("/v1/endpoints").await.assert_problem(401, None);
    assert_eq!(other.get("/v1/endpoints").await.body["data"].as_array().map(Vec::len), Some(1));
    api.call(Method::DELETE, &path, &api.operator_key, None, None).await.assert_problem(404, None);
}

#[tokio::test]
async fn a_suspended_tenants_keys_are_refused_until_it_is_resumed() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let call = |action: &str, body: Option<&'static str>| {
        let (api, path) = (&api, format!("/v1/tenants/{}/{action}", acme.id));
        async move { api.call(Method::POST, &path, &api.operator_key, None, body).await }
    };
    let suspended = call("suspend", Some(r#"{"reason": "unpaid"}"#)).await;
    assert_eq!(
        (suspended.status, &suspended.body["suspended"]["reason"]),
        (200, &json!("unpaid")),
        "{}",
        suspended.text
    );
    let refused = acme.get("/v1/endpoints").await;
    refused.assert_problem(403, None);
    assert_eq!(refused.body["type"], "/problems/tenant-suspended");
    // Operators still work on what it owns.
    assert_eq!(api.call(Method::GET, "/v1/endpoints", &api.operator_key, Some(&acme.id), None).await.status, 200);
    let published = api.outbox().await.into_iter().rev().map(|(_, version, body)| (version, body)).next();
    assert!(matches!(published, Some((2, ConfigBody::Tenant(tenant))) if tenant.suspended));

    let resumed = call("resume", None).await;
    assert_eq!((resumed.status, &resumed.body["suspended"]), (200, &Value::Null), "{}", resumed.text);
    assert_eq!(acme.get("/v1/endpoints").await.status, 200);
    call("suspend", Some(r#"{"reason": " "}"#)).await.assert_problem(422, Some("/reason"));
    let foreign = format!("/v1/tenants/{}/suspend", acme.id);
    acme.post(&foreign, &json!({ "reason": "x" })).await.assert_problem(403, None);
}

#[tokio::test]
async fn quotas_bound_endpoints_and_publishing_and_can_be_seen() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/tenants/{}", acme.id);
    let change = |body: Value| {
        let (api, path) = (&api, &path);
        async move { api.call(Method::PATCH, path, &api.operator_key, None, Some(&body.to_string())).await }
    };
    let quotas = json!({ "endpoints": 1, "publish_per_second": 2, "deliveries_per_day": 10 });
    assert_eq!(change(json!({ "quotas": quotas })).await.body["quotas"], quotas);
    acme.endpoint().await;
    let another = json!({ "name": "another", "url": "https://public.example.com/" });
    acme.post("/v1/endpoints", &another).await.assert_problem(409, None);
    let usage = acme.get("/v1/usage").await;
    assert_eq!((&usage.body["endpoints"], &usage.body["quotas"]), (&json!(1), &quotas), "{}", usage.text);

    let event = json!({ "type": "order.created", "data": {} });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(acme.post("/v1/events", &event).await.status);
    }
    assert_eq!(statuses, [202, 202, 429]);
    assert_eq!(api.publisher.published.lock().len(), 2);

    assert_eq!(change(json!({ "quotas": { "endpoints": null } })).await.body["quotas"]["endpoints"], Value::Null);
    acme.post("/v1/endpoints", &another).await;
    assert_eq!(acme.get("/v1/usage").await.body["endpoints"], json!(2));
    change(json!({ "quotas": { "deliveries_per_day": 0 } }))
        .await
        .assert_problem(422, Some("/quotas/deliveries_per_day"));
    change(json!({ "name": null })).await.assert_problem(422, Some("/name"));
    change(json!({ "nmae": "x" })).await.assert_problem(422, Some("/nmae"));
    let unlimited = change(json!({ "quotas": null })).await;
    assert_eq!(unlimited.body["quotas"]["publish_per_second"], Value::Null, "{}", unlimited.text);
}

#[tokio::test]
async fn a_list_is_walked_page_by_page() {
    let api = Fixture::new().await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(api.tenant(&format!("tenant {number}")).await.id);
    }
    made.sort();
    let mut seen = Vec::new();
    let mut path = "/v1/tenants?limit=2".to_owned();
    loop {
        let page = api.call(Method::GET, &path, &api.operator_key, None, None).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let data = page.body["data"].as_array().expect("entries");
        assert!(data.len() <= 2);
        seen.extend(data.iter().map(|tenant| tenant["id"].as_str().expect("an id").to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/tenants?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("cursor=%ff", "cursor")]
    {
        let path = format!("/v1/tenants?{query}");
        api.call(Method::GET, &path, &api.operator_key, None, None).await.assert_problem(400, Some(field));
    }
}
