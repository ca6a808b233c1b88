use std::time::Duration;

use postrider_domain::{
    RateLimit, Timestamp,
    endpoint::{OnExhausted, Ordering},
};
use serde_json::json;

use super::fixture::Fixture;

#[tokio::test]
async fn an_endpoint_is_paused_and_resumed_with_all_that_was_held() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}", made.id());
    assert_eq!(made.body["paused"], false);

    let paused = acme.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!((paused.status, &paused.body["paused"]), (200, &json!(true)), "{}", paused.text);
    let (version, endpoint) = api.published_endpoint().await;
    assert_eq!((version, endpoint.enabled_version, endpoint.settings.paused), (2, 1, true));

    let resumed = acme.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!((resumed.status, &resumed.body["paused"]), (200, &json!(false)), "{}", resumed.text);
    let (version, endpoint) = api.published_endpoint().await;
    assert_eq!((version, endpoint.enabled_version), (3, 2), "a resumption clears an automatic disable");
    assert_eq!((endpoint.settings.paused, endpoint.settings.skip_before), (false, None));
    assert_eq!(acme.get(&path).await.body["paused"], false);
}

#[tokio::test]
async fn a_resumption_skips_what_was_matched_before_a_time_or_before_now() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    let resume = async |held: serde_json::Value| {
        assert_eq!(acme.post(&format!("{path}/pause"), &json!({})).await.status, 200);
        let answer = acme.post(&format!("{path}/resume"), &json!({ "held": held })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        api.published_endpoint().await.1.settings.skip_before
    };

    let since = Timestamp::parse_rfc3339("2026-01-31T12:00:00Z").expect("a time");
    assert_eq!(resume(json!({ "since": "2026-01-31T13:00:00+01:00" })).await, Some(since));
    assert_eq!(resume(json!("all")).await, Some(since), "what was skipped stays skipped");
    assert_eq!(resume(json!({ "since": "2026-01-30T12:00:00Z" })).await, Some(since), "nor does it come back");

    let before = api.broker_clock.now();
    let skipped = resume(json!("none")).await.expect("a time");
    assert!((before..=api.broker_clock.now()).contains(&skipped), "{skipped:?}");
    assert_eq!(acme.get(&path).await.body["skip_before"], skipped.to_rfc3339());
}

#[tokio::test]
async fn how_an_endpoint_is_resumed_is_checked() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    let future = (api.broker_clock.now() + Duration::from_hours(1)).to_rfc3339();
    for (input, field) in [
        (json!({ "held": "some" }), "/held"),
        (json!({ "held": { "since": "yesterday" } }), "/held/since"),
        (json!({ "held": { "since": future } }), "/held/since"),
        (json!({ "keep": "all" }), "/keep"),
    ] {
        acme.post(&format!("{path}/resume"), &input).await.assert_problem(422, Some(field));
    }
    acme.patch(&path, &json!({ "paused": true })).await.assert_problem(422, Some("/paused"));
    assert_eq!(api.published_endpoint().await.0, 1, "nothing was changed");
}

#[tokio::test]
async fn another_tenants_endpoint_is_neither_paused_nor_resumed() {
    let api = Fixture::new().await;
    let (acme, other) = (api.tenant("Acme").await, api.tenant("Other").await);
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    for action in ["pause", "resume"] {
        other.post(&format!("{path}/{action}"), &json!({})).await.assert_problem(404, None);
    }
    assert_eq!(api.published_endpoint().await.0, 1);
}

#[tokio::test]
async fn an_endpoint_gets_a_rate_limit_and_an_order_and_loses_them_again() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme
        .post(
            "/v1/endpoints",
            &json!({
                "name": "hook",
                "url": "https://public.example.com/in",
                "rate_limit": { "per_second": 10, "burst": 20 },
                "ordering": { "on_exhausted": "block" },
            }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["rate_limit"], json!({ "per_second": 10, "burst": 20 }));
    assert_eq!(made.body["ordering"], json!({ "on_exhausted": "block" }));
    let settings = || async { api.published_endpoint().await.1.settings };
    assert_eq!(settings().await.rate_limit, RateLimit::new(Some(10), None, Some(20)).ok());
    assert_eq!(settings().await.ordering, Some(Ordering { on_exhausted: OnExhausted::Block }));

    let path = format!("/v1/endpoints/{}", made.id());
    let changed = acme.patch(&path, &json!({ "rate_limit": { "per_minute": 90 } })).await;
    assert_eq!(changed.body["rate_limit"], json!({ "per_minute": 90 }), "{}", changed.text);
    assert_eq!(changed.body["ordering"], json!({ "on_exhausted": "block" }), "{}", changed.text);
    let lifted = acme.patch(&path, &json!({ "rate_limit": null, "ordering": null })).await;
    assert_eq!((&lifted.body["rate_limit"], &lifted.body["ordering"]), (&json!(null), &json!(null)));
    assert_eq!(settings().await, postrider_domain::endpoint::EndpointSettings::default());

    for (name, value, field) in [
        ("rate_limit", json!({ "per_second": 0 }), "/rate_limit"),
        ("rate_limit", json!({ "burst": 1 }), "/rate_limit"),
        ("rate_limit", json!({ "per_hour": 1 }), "/rate_limit/per_hour"),
        ("ordering", json!({ "on_exhausted": "wait" }), "/ordering/on_exhausted"),
    ] {
        acme.patch(&path, &json!({ name: value })).await.assert_problem(422, Some(field));
    }
}
