use poem::http::Method;
use postrider_domain::ConfigBody;

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
