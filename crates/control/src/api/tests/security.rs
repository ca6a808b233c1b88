use std::time::Duration;

use poem::http::Method;
use postrider_domain::Timestamp;
use postrider_kafka::Shutdown;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::fixture::Fixture;
use crate::{
    api::{Api, ApiConfig},
    security::{Origin, SecurityKind},
};

const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

#[tokio::test]
async fn security_events_are_listed_counted_and_filtered_and_a_tenant_sees_its_own() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let other = api.tenant("Other").await;
    let of = |tenant: Option<&str>, last: u8| Origin {
        tenant: tenant.map(|id| id.parse().expect("a tenant id")),
        remote_addr: Some([203, 0, 113, last].into()),
        ..Origin::default()
    };
    for _ in 0..3 {
        api.security.note(NOW, SecurityKind::BadKey, of(None, 7), "the API key is not known");
    }
    api.security.note(NOW, SecurityKind::ScopeViolation, of(Some(&acme.id), 8), "it lacks 'endpoints:write'");
    api.security.note(NOW, SecurityKind::ScopeViolation, of(Some(&other.id), 9), "it lacks 'endpoints:read'");
    api.security.write(&api.database).await.expect("they are written");
    // What goes on in the same minute is counted in its row.
    let later = NOW + Duration::from_secs(40);
    api.security.note(later, SecurityKind::BadKey, of(None, 7), "the API key was revoked");
    api.security.write(&api.database).await.expect("it is written");

    let seen = acme.get("/v1/security-events").await;
    assert_eq!(seen.body["data"].as_array().map(Vec::len), Some(1), "{}", seen.text);
    assert_eq!(seen.body["data"][0]["remote_addr"], "203.0.113.8");
    assert_eq!(seen.body["data"][0]["tenant_id"], acme.id);

    let operator = |path: &'static str| api.call(Method::GET, path, &api.operator_key, None, None);
    assert_eq!(operator("/v1/security-events").await.body["data"].as_array().map(Vec::len), Some(3));
    let bad = operator("/v1/security-events?kind=bad_key&remote_addr=203.0.113.7").await;
    assert_eq!((bad.body["data"][0]["count"].as_i64(), bad.body["data"][1].is_null()), (Some(4), true));
    assert_eq!(
        (&bad.body["data"][0]["at"], &bad.body["data"][0]["last_at"]),
        (&json!("2026-01-31T12:00:00.000Z"), &json!("2026-01-31T12:00:40.000Z"))
    );
    let since = operator("/v1/security-events?since=2026-01-31T12:00:30Z").await;
    assert_eq!(since.body["data"].as_array().map(Vec::len), Some(1), "{}", since.text);
    assert!(operator("/v1/security-events?since=2026-02-01T00:00:00Z").await.body["data"][0].is_null());
    let first = operator("/v1/security-events?limit=2").await;
    let cursor = first.body["next_cursor"].as_str().expect("there is more");
    let path = format!("/v1/security-events?limit=2&cursor={cursor}");
    let rest = api.call(Method::GET, &path, &api.operator_key, None, None).await;
    assert_eq!(rest.body["data"].as_array().map(Vec::len), Some(1));

    let counts = operator("/v1/security-events/counts").await;
    assert_eq!(counts.body["data"][0]["kind"], "bad_key", "{}", counts.text);
    assert_eq!(counts.body["data"][0]["count"], 4);
    assert_eq!((&counts.body["data"][1]["count"], &counts.body["data"][1]["addresses"]), (&2.into(), &2.into()));
    for (query, field) in
        [("kind=x", "kind"), ("remote_addr=x", "remote_addr"), ("since=x", "since"), ("key_id=x", "key_id")]
    {
        acme.get(&format!("/v1/security-events?{query}")).await.assert_problem(400, Some(field));
    }
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_what_and_a_tenant_sees_its_own() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let other = api.tenant("Other").await;
    let endpoint = acme.endpoint().await.id();
    let path = format!("/v1/endpoints/{endpoint}");
    assert_eq!(acme.patch(&path, &json!({ "name": "renamed" })).await.status, 200);

    let changes = acme.get(&format!("/v1/audit-log?entity_id={endpoint}&action=endpoint.")).await;
    let actions: Vec<&str> =
        changes.body["data"].as_array().expect("a list").iter().filter_map(|it| it["action"].as_str()).collect();
    assert_eq!(actions, ["endpoint.update", "endpoint.create"], "{}", changes.text);
    let update = &changes.body["data"][0];
    assert_eq!((&update["before"]["name"], &update["after"]["name"]), (&json!("hook"), &json!("renamed")));
    assert!(update["actor"].as_str().is_some_and(|actor| actor.starts_with("key_")), "{update}");
    assert!(!changes.text.contains("s3cret"), "the URL's query is secret");

    assert_eq!(other.get(&format!("/v1/audit-log?entity_id={endpoint}")).await.body["data"], json!([]));
    let mut seen = Vec::new();
    let mut path = "/v1/audit-log?limit=2".to_owned();
    loop {
        let page = api.call(Method::GET, &path, &api.operator_key, None, None).await;
        seen.extend(
            page.body["data"].as_array().expect("a list").iter().map(|it| it["id"].as_i64().expect("a number")),
        );
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/audit-log?limit=2&cursor={cursor}");
    }
    assert!(seen.len() >= 8 && seen.is_sorted_by(|left, right| left > right), "{seen:?}");
    for (query, field) in
        [("since=x", "since"), ("remote_addr=x", "remote_addr"), ("actor=%00", "actor"), ("cursor=x", "cursor")]
    {
        acme.get(&format!("/v1/audit-log?{query}")).await.assert_problem(400, Some(field));
    }
}

#[tokio::test]
async fn a_tenants_keys_work_from_where_its_address_rules_allow() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    assert_eq!(acme.get("/v1/ip-rules").await.body, json!({ "allow": [], "block": [], "updated_at": null }));
    let rules = json!({ "allow": ["203.0.113.7/24", "2001:db8::1"], "block": ["203.0.113.9"] });
    // A request in process has no address of its own, so it can't lock itself out.
    let put = acme.put("/v1/ip-rules", &rules).await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(put.body["allow"], json!(["203.0.113.0/24", "2001:db8::1/128"]));
    assert_eq!(put.body["block"], json!(["203.0.113.9/32"]));

    let changes = acme.get("/v1/audit-log?action=ip_rules.update").await;
    assert_eq!(changes.body["data"][0]["after"]["allow"], put.body["allow"], "{}", changes.text);

    let shutdown = Shutdown::new();
    let config = ApiConfig { listen: ([127, 0, 0, 1], 0).into(), ..ApiConfig::default() };
    let listening = Api::bind(config).await.expect("a port is free");
    let address = listening.local_addr().expect("it has one");
    let serving = tokio::spawn(listening.run(api.state.clone(), shutdown.clone()));
    let over_tcp = async |key: &str| {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "GET /v1/ip-rules HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
                               postrider-tenant: {}\r\nconnection: close\r\n\r\n",
            acme.id
        );
        stream.write_all(request.as_bytes()).await.expect("it takes it");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    };
    assert!(over_tcp(&acme.key).await.starts_with("HTTP/1.1 403"), "127.0.0.1 is not allowed");
    assert!(over_tcp(&api.operator_key).await.starts_with("HTTP/1.1 200"), "operators are");
    let allowed = json!({ "allow": ["127.0.0.0/8"], "block": [] });
    assert_eq!(acme.put("/v1/ip-rules", &allowed).await.status, 200);
    assert!(over_tcp(&acme.key).await.starts_with("HTTP/1.1 200"));
    shutdown.soft.cancel();
    serving.await.expect("it ends").expect("it was served");
    // What is noted is written before it ends.
    let noted = acme.get("/v1/security-events?kind=address_blocked").await;
    assert_eq!(noted.body["data"][0]["remote_addr"], "127.0.0.1", "{}", noted.text);

    for (rules, field) in [
        (json!({ "allow": ["x"], "block": [] }), "/allow/0"),
        (json!({ "allow": [], "block": ["10.0.0.0/33"] }), "/block/0"),
        (json!({ "allow": [], "block": vec!["10.0.0.1"; 201] }), "/block"),
    ] {
        acme.put("/v1/ip-rules", &rules).await.assert_problem(422, Some(field));
    }
}

#[tokio::test]
async fn a_url_that_leads_inside_is_refused_and_noted_with_who_asked() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    for url in ["https://10.0.0.7/", "https://inside.example.com/", "ftp://public.example.com/"] {
        acme.post("/v1/endpoints", &json!({ "name": "hook", "url": url })).await.assert_problem(422, Some("/url"));
    }
    api.security.write(&api.database).await.expect("it is written");
    let noted = acme.get("/v1/security-events?kind=ssrf_refused").await;
    let counted: i64 =
        noted.body["data"].as_array().expect("a list").iter().filter_map(|it| it["count"].as_i64()).sum();
    assert_eq!(counted, 2, "{}", noted.text);
    assert!(noted.body["data"][0]["key_id"].as_str().is_some_and(|key| key.starts_with("key_")), "{}", noted.text);
}

#[tokio::test]
async fn what_a_key_may_not_do_is_noted_with_the_key() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let reader = acme.post("/v1/api-keys", &json!({ "name": "reader", "scopes": ["endpoints:read"] })).await;
    let key = reader.body["key"].as_str().expect("its text");
    api.call(Method::GET, "/v1/audit-log", key, None, None).await.assert_problem(403, None);
    acme.get("/v1/tenants").await.assert_problem(403, None);
    api.security.write(&api.database).await.expect("it is written");
    let path = format!("/v1/security-events?kind=scope_violation&key_id={}", reader.id());
    let noted = acme.get(&path).await;
    assert_eq!(noted.body["data"].as_array().map(Vec::len), Some(1), "{}", noted.text);
    assert_eq!(noted.body["data"][0]["detail"], "the API key lacks the scope 'audit:read'");
    let all = acme.get("/v1/security-events/counts").await;
    assert_eq!(all.body["data"][0]["count"], 2, "{}", all.text);

    // Naming another tenant counts, too, for whose key it is.
    let other = api.tenant("Other").await;
    api.call(Method::GET, "/v1/endpoints", &acme.key, Some(&other.id), None)
        .await
        .assert_problem(403, Some("Postrider-Tenant"));
    api.security.write(&api.database).await.expect("it is written");
    let all = acme.get("/v1/security-events/counts").await;
    assert_eq!(all.body["data"][0]["count"], 3, "{}", all.text);
    assert_eq!(other.get("/v1/security-events").await.body["data"], json!([]));
}
