//! Endpoints that the data plane disabled, seen over the API.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{
    EndpointId, TenantId, Timestamp,
    endpoint_state::{AutoDisabled, DisableReason, EndpointState, StateTerm},
};
use postrider_kafka::{Codec, Readiness, TestPartition};
use postrider_postgres::projector_offsets;
use serde_json::json;

use super::{LogPolicy, STATE_TOPIC, Shared, own, record, shared, until};
use crate::api::tests::fixture::Fixture as Api;

const AT: &str = "2026-01-31T12:00:00.000Z";

/// The projector of one partition of the state beside an API.
struct Owner {
    codec: Codec,
    shared: Arc<Shared>,
    feed: TestPartition,
}

impl Owner {
    fn beside(api: &Api) -> Self {
        let codec = Codec::new();
        let shared = shared(api.database.clone(), codec.clone(), &Readiness::new(), LogPolicy::All);
        let (feed, _task) = own(&shared, STATE_TOPIC, 0);
        Self { codec, shared, feed }
    }

    async fn project(&self, offset: i64, value: Option<Bytes>) {
        self.feed.send(record(STATE_TOPIC, 0, offset, value)).await;
        until("it is settled", || self.feed.outstanding() == 0).await;
    }

    /// That an owner of this term has disabled the endpoint's configuration of this version.
    #[expect(clippy::unnecessary_wraps, reason = "a record's value, which a tombstone does not have")]
    fn disabled(&self, tenant: &str, endpoint: &str, term: i64, enabled_version: i64) -> Option<Bytes> {
        let (endpoint, tenant) = (EndpointId::from_trusted(endpoint), TenantId::from_trusted(tenant));
        let at = Timestamp::parse_rfc3339(AT).expect("a time");
        let disabled = Some(AutoDisabled { reason: DisableReason::Gone, enabled_version, at });
        Some(self.codec.encode(&EndpointState { disabled, ..EndpointState::new(endpoint, tenant, term) }))
    }
}

#[tokio::test]
async fn what_the_data_plane_disabled_is_disabled_in_the_api_until_it_is_enabled() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let id = acme.endpoint().await.id();
    let path = format!("/v1/endpoints/{id}");
    let owner = Owner::beside(&api);

    owner.project(3, owner.disabled(&acme.id, &id, 1, 1)).await;
    let shown = acme.get(&path).await.body;
    assert_eq!((&shown["enabled"], &shown["disabled_reason"]), (&json!(false), &json!("gone")), "{shown}");
    assert_eq!(shown["disabled_at"], AT);
    let (version, published) = api.published_endpoint().await;
    assert_eq!((version, published.enabled), (2, false));
    assert_eq!(published.enabled_version, 1, "a newer one would clear the disable");

    owner.project(7, owner.disabled(&acme.id, &id, 1, 1)).await;
    assert_eq!(api.published_endpoint().await.0, 2, "it is disabled already");

    acme.patch(&path, &json!({ "enabled": true })).await;
    owner.project(8, owner.disabled(&acme.id, &id, 1, 1)).await;
    let shown = acme.get(&path).await.body;
    assert_eq!((&shown["enabled"], &shown["disabled_reason"]), (&json!(true), &json!(null)), "{shown}");
    assert_eq!(api.published_endpoint().await.1.enabled_version, 2);
    let mut conn = owner.shared.pool.acquire().await.unwrap();
    assert_eq!(projector_offsets::get(&mut conn, STATE_TOPIC, 0).await.unwrap(), Some(9));
}

#[tokio::test]
async fn a_resumption_or_another_url_enables_what_the_data_plane_disabled() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let owner = Owner::beside(&api);
    for (offset, how) in [(0, "resume"), (1, "url")] {
        let id = acme.endpoint().await.id();
        let path = format!("/v1/endpoints/{id}");
        owner.project(offset, owner.disabled(&acme.id, &id, 1, 1)).await;
        assert_eq!(acme.get(&path).await.body["enabled"], false);
        let answer = match how {
            "resume" => acme.post(&format!("{path}/resume"), &json!({})).await,
            _ => acme.patch(&path, &json!({ "url": "https://public.example.com/other" })).await,
        };
        assert_eq!((&answer.body["enabled"], &answer.body["disabled_reason"]), (&json!(true), &json!(null)), "{how}");
        assert_eq!(api.published_endpoint().await.1.enabled_version, 2);
    }
}

#[tokio::test]
async fn what_a_user_disabled_stays_the_users() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let id = acme.endpoint().await.id();
    let path = format!("/v1/endpoints/{id}");
    let owner = Owner::beside(&api);
    acme.patch(&path, &json!({ "enabled": false })).await;
    owner.project(0, owner.disabled(&acme.id, &id, 1, 1)).await;
    assert_eq!(acme.get(&path).await.body["disabled_reason"], "manual");
    let resumed = acme.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!(resumed.body["enabled"], false, "{}", resumed.text);
}

#[tokio::test]
async fn terms_tombstones_and_what_is_gone_are_read_over() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let id = acme.endpoint().await.id();
    let owner = Owner::beside(&api);
    owner.project(0, Some(owner.codec.encode(&StateTerm { term: 5, owner: 1 }))).await;
    owner.project(1, None).await;
    owner.project(2, owner.disabled(&acme.id, "ep_gone", 5, 1)).await;
    owner.project(3, owner.disabled(&acme.id, &id, 4, 1)).await;
    assert_eq!(api.published_endpoint().await.0, 1, "an owner of an older term knows no better");
    owner.project(4, owner.disabled(&acme.id, &id, 5, 1)).await;
    assert_eq!(api.published_endpoint().await.0, 2);
}
