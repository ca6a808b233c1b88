use poem::http::Method;
use postrider_domain::Timestamp;

use super::fixture::Fixture;
use crate::security::{Origin, SecurityKind};

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

    let seen = acme.get("/v1/security-events").await;
    assert_eq!(seen.body["data"].as_array().map(Vec::len), Some(1), "{}", seen.text);
    assert_eq!(seen.body["data"][0]["remote_addr"], "203.0.113.8");
    assert_eq!(seen.body["data"][0]["tenant_id"], acme.id);

    let operator = |path: &'static str| api.call(Method::GET, path, &api.operator_key, None, None);
    assert_eq!(operator("/v1/security-events").await.body["data"].as_array().map(Vec::len), Some(3));
    let bad = operator("/v1/security-events?kind=bad_key&remote_addr=203.0.113.7").await;
    assert_eq!((bad.body["data"][0]["count"].as_i64(), bad.body["data"][1].is_null()), (Some(3), true));
    assert!(operator("/v1/security-events?since=2026-02-01T00:00:00Z").await.body["data"][0].is_null());
    let first = operator("/v1/security-events?limit=2").await;
    let cursor = first.body["next_cursor"].as_str().expect("there is more");
    let path = format!("/v1/security-events?limit=2&cursor={cursor}");
    let rest = api.call(Method::GET, &path, &api.operator_key, None, None).await;
    assert_eq!(rest.body["data"].as_array().map(Vec::len), Some(1));

    let counts = operator("/v1/security-events/counts").await;
    assert_eq!(counts.body["data"][0]["kind"], "bad_key", "{}", counts.text);
    assert_eq!(counts.body["data"][0]["count"], 3);
    assert_eq!((&counts.body["data"][1]["count"], &counts.body["data"][1]["addresses"]), (&2.into(), &2.into()));
    for (query, field) in
        [("kind=x", "kind"), ("remote_addr=x", "remote_addr"), ("since=x", "since"), ("key_id=x", "key_id")]
    {
        acme.get(&format!("/v1/security-events?{query}")).await.assert_problem(400, Some(field));
    }
}
