//! How endpoints do, from the log to the API.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{
    DeliveryEvent, DeliveryEventBody, DeliveryKind, EndpointId, ErrorClass, TenantId, Timestamp,
    breaker::BreakerSnapshot,
    delivery_event::{AfterAttempt, Attempted},
    endpoint_state::EndpointState,
    failing::FailureRecord,
};
use postrider_kafka::{Codec, Readiness, Record, TestPartition};
use serde_json::{Value, json};

use super::{LogPolicy, STATE_TOPIC, Shared, TOPIC, delivered, own, record, shared, until};
use crate::{api::tests::fixture::Fixture as Api, clock};

/// The projector of two partitions of events, and one of the state, beside an API.
struct Projector {
    codec: Codec,
    _shared: Arc<Shared>,
    events: [TestPartition; 2],
    state: TestPartition,
}

impl Projector {
    fn beside(api: &Api) -> Self {
        let codec = Codec::new();
        let shared = shared(api.database.clone(), codec.clone(), &Readiness::new(), LogPolicy::All);
        let events = [0, 1].map(|partition| own(&shared, TOPIC, partition).0);
        let state = own(&shared, STATE_TOPIC, 0).0;
        Self { codec, _shared: shared, events, state }
    }

    /// Attempts of an endpoint, all at once, read from this partition from `offset` on.
    async fn attempts(&self, partition: usize, offset: i64, events: Vec<DeliveryEvent>) {
        for (offset, event) in (offset..).zip(events) {
            let value = Some(self.codec.encode(&event));
            let number = i32::try_from(partition).expect("few");
            self.events[partition].send(record(TOPIC, number, offset, value)).await;
        }
        until("they are settled", || self.events[partition].outstanding() == 0).await;
    }

    async fn remember(&self, offset: i64, key: &str, value: Option<Bytes>) {
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        self.state.send(Record { key, ..record(STATE_TOPIC, 0, offset, value) }).await;
        until("it is settled", || self.state.outstanding() == 0).await;
    }
}

/// An attempt that ended `ago` milliseconds ago.
fn attempt(tenant: &str, endpoint: &str, ago: i64, status: i32) -> DeliveryEvent {
    let started_at = Timestamp::from_millis(clock::now().as_millis() - ago);
    let success = status < 300;
    let event = delivered(ago);
    DeliveryEvent {
        tenant: TenantId::from_trusted(tenant),
        endpoint: EndpointId::from_trusted(endpoint),
        body: DeliveryEventBody::Attempted(Attempted {
            started_at,
            duration_us: 20_000,
            status: Some(status),
            error: (!success).then_some(ErrorClass::HttpServerError),
            error_message: (!success).then(|| format!("answered {status}")),
            response_excerpt: None,
            next: if success { AfterAttempt::Delivered } else { AfterAttempt::DeadLetter },
            next_attempt_at: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            phases: None,
        }),
        ..event
    }
}

#[tokio::test]
async fn what_came_of_deliveries_is_seen_in_the_endpoint_and_its_health() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let id = acme.endpoint().await.id();
    let path = format!("/v1/endpoints/{id}");
    let projector = Projector::beside(&api);
    let event = |ago, status| attempt(&acme.id, &id, ago, status);

    projector.attempts(0, 0, vec![event(5_000, 200), event(4_000, 200), event(3_000, 503)]).await;
    projector.attempts(1, 0, vec![event(6_000, 500), event(1_000, 200)]).await;
    let test = DeliveryEvent { kind: DeliveryKind::Test, ..event(500, 500) };
    let gone = attempt(&acme.id, "ep_00000000000000000000000000", 400, 500);
    projector.attempts(0, 3, vec![test, gone]).await;
    let totals = acme.get(&path).await.body["totals"].clone();
    let counts = [&totals["attempts"], &totals["delivered"], &totals["dead_lettered"]];
    assert_eq!(counts, [&json!(5), &json!(3), &json!(2)], "{totals}");
    assert_eq!(totals["last_error"]["status"], 503, "the later of both partitions: {totals}");
    assert_eq!(totals["last_error"]["message"], "answered 503");
    assert_eq!(totals["last_triggered_at"], totals["last_success_at"]);
    assert_eq!(acme.get("/v1/endpoints").await.body["data"][0]["totals"], totals);

    let health = acme.get(&format!("{path}/health")).await.body;
    let rate = health["parts"]["success_rate"]["value"].as_f64().expect("a rate");
    assert!((rate - 0.6).abs() < 0.01, "{health}");
    assert_eq!(health["parts"]["breaker"]["value"], "closed");
    assert_eq!((&health["score"], &health["prediction"]), (&json!(80), &json!(null)), "{health}");
}

#[tokio::test]
async fn an_endpoint_that_fails_is_expected_to_be_disabled_until_it_is_forgotten() {
    let api = Api::new().await;
    let acme = api.tenant("Acme").await;
    let id = acme.endpoint().await.id();
    let path = format!("/v1/endpoints/{id}/health");
    let projector = Projector::beside(&api);
    projector.attempts(0, 0, vec![attempt(&acme.id, &id, 1_000, 500)]).await;
    let now = clock::now().as_millis();
    let (since, open_until) = (Timestamp::from_millis(now - 3_600_000), Timestamp::from_millis(now + 600_000));
    let state = EndpointState {
        failing: FailureRecord { since: Some(since), failures: 10 },
        breaker: Some(BreakerSnapshot { opens: 3, open_until }),
        ..EndpointState::new(EndpointId::from_trusted(id.as_str()), TenantId::from_trusted(acme.id.as_str()), 1)
    };
    projector.remember(0, &id, Some(projector.codec.encode(&state))).await;
    let health = acme.get(&path).await.body;
    let part =
        |health: &Value, name: &str| (health["parts"][name]["value"].clone(), health["parts"][name]["score"].clone());
    assert_eq!(part(&health, "breaker"), (json!("open"), json!(0)), "{health}");
    assert_eq!(part(&health, "consecutive_failures"), (json!(10.0), json!(50)));
    let five_days = Timestamp::from_millis(since.as_millis() + 5 * 86_400_000);
    assert_eq!(health["prediction"]["disabled_at"], five_days.to_rfc3339(), "{health}");
    assert!(health["prediction"]["text"].as_str().is_some_and(|text| text.contains("10 times")), "{health}");

    projector.remember(1, &id, None).await;
    let health = acme.get(&path).await.body;
    assert_eq!((part(&health, "breaker").0, &health["prediction"]), (json!("closed"), &json!(null)), "{health}");
}
