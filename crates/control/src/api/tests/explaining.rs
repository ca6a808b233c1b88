//! `/v1/events`: what became of one, and why.

use bytes::Bytes;
use postrider_domain::{
    DeliveryKind, EndpointId, Event, Run, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
    message_id::{event_id, message_id},
};
use postrider_postgres::delivery_log::{self, DeliveryRow, DeliveryStatus};
use serde_json::{Value, json};

use super::fixture::{Fixture, TenantClient};

fn event(tenant: &str, id: &str, offset: i64) -> Event {
    Event {
        id: event_id("events", Some("/v1/events"), id),
        producer_id: Some(id.to_owned()),
        source: "/v1/events".to_owned(),
        tenant: TenantId::from_trusted(tenant),
        event_type: "order.created".to_owned(),
        time: Timestamp::from_millis(5),
        subject: None,
        ordering_key: None,
        data: Bytes::from_static(b"{\"total\": 99}"),
        previous: None,
        content_type: "application/json".to_owned(),
        coordinates: SourceCoordinates { topic: "postrider.events".into(), partition: 0, offset },
    }
}

fn delivery(event: &Event, endpoint: &str) -> DeliveryRow {
    let endpoint = EndpointId::from_trusted(endpoint);
    DeliveryRow {
        message_id: message_id(&event.id, &endpoint),
        run: Run::LIVE,
        tenant: event.tenant.clone(),
        endpoint,
        subscription: SubscriptionId::from_trusted("sub_00000000000000000000000001"),
        event_id: event.id.clone(),
        event_type: event.event_type.clone(),
        kind: DeliveryKind::Live,
        source: event.coordinates.clone(),
        status: DeliveryStatus::Failed,
        rank: DeliveryStatus::Failed.rank(),
        held: None,
        attempt: 1,
        last_status: Some(500),
        last_error: None,
        last_error_message: None,
        next_attempt_at: None,
        matched_at: Timestamp::from_millis(7),
        updated_at: Timestamp::from_millis(8),
        payload: None,
    }
}

async fn log(api: &Fixture, row: DeliveryRow) {
    let mut conn = api.pool.acquire().await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, &[row]).await.unwrap();
}

/// An endpoint with one subscription to orders over 100.
async fn subscribed(acme: &TenantClient<'_>) -> (String, Value) {
    let filter = json!({ "field": "data.total", "operator": "greater_than", "value": 100 });
    let subscription = json!({ "event_types": ["order.*"], "filter": filter });
    let endpoint = json!({ "name": "hook", "url": "https://public.example.com/in", "subscriptions": [subscription] });
    let endpoint = acme.post("/v1/endpoints", &endpoint).await;
    assert_eq!(endpoint.status, 201, "{}", endpoint.text);
    let subscriptions = acme.get("/v1/subscriptions").await;
    (endpoint.id(), subscriptions.body["data"][0].clone())
}

#[tokio::test]
async fn an_event_is_explained_subscription_by_subscription() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let (endpoint, subscription) = subscribed(&acme).await;
    let event = event(&acme.id, "evt-1", 3);
    api.events.0.lock().push(event.clone());
    log(&api, delivery(&event, &endpoint)).await;

    let source = json!({ "topic": "postrider.events", "partition": 0, "offset": 3 });
    let unpublished = json!({ "type": "order.created", "id": "evt-1", "data": { "total": 99 } });
    for asked in [
        json!({ "event_id": "evt-1" }),
        json!({ "event_id": event.id.as_str() }),
        json!({ "source": source }),
        json!({ "event": unpublished, "endpoint_id": endpoint }),
        json!({ "event_id": "evt-1", "subscription_id": subscription["id"] }),
    ] {
        let answer = acme.post("/v1/events/explain", &asked).await;
        assert_eq!(answer.status, 200, "{asked}: {}", answer.text);
        assert_eq!(answer.body["event_id"], event.id.as_str());
        let [explained] = &answer.body["data"].as_array().unwrap()[..] else { panic!("{}", answer.text) };
        assert_eq!(explained["subscription_id"], subscription["id"]);
        assert_eq!((&explained["matched"], &explained["outcome"]), (&json!(false), &json!("filter")));
        let reason = "not matched: filter: data.total is 99; wanted: greater_than 100";
        assert_eq!((&explained["reason"], &explained["condition"]), (&json!(reason), &json!("")));
        let message = message_id(&event.id, &EndpointId::from_trusted(endpoint.as_str()));
        assert_eq!((&explained["message_id"], &explained["delivery_status"]), (&json!(message), &json!("failed")));
    }
    let more = json!({ "event": { "type": "order.created", "data": { "total": 101 } } });
    assert_eq!(acme.post("/v1/events/explain", &more).await.body["data"][0]["outcome"], "matched");
    let other = json!({ "event": { "type": "invoice.paid", "data": {} } });
    assert_eq!(acme.post("/v1/events/explain", &other).await.body["data"][0]["outcome"], "event_type");
}

#[tokio::test]
async fn what_cant_be_explained_is_named() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let gone = event(&acme.id, "gone", 9);
    log(&api, delivery(&gone, "ep_00000000000000000000000001")).await;
    let source = |offset: i64| json!({ "topic": "postrider.events", "partition": 0, "offset": offset });
    let event = json!({ "type": "a", "data": 1 });
    for (asked, status, field) in [
        (json!({}), 422, Some("")),
        (json!({ "event_id": "x", "event": event }), 422, Some("")),
        (json!({ "event_id": "x" }), 404, Some("/event_id")),
        (json!({ "event_id": "gone" }), 422, Some("/event_id")),
        (json!({ "source": source(1) }), 404, Some("/source")),
        (json!({ "source": { "topic": "t" } }), 422, Some("/source")),
        (json!({ "event": { "type": "no spaces", "data": 1 } }), 422, Some("/event/type")),
        (json!({ "event": event, "endpoint_id": "ep_1" }), 404, Some("/endpoint_id")),
        (json!({ "event": event, "subscription_id": "sub_1" }), 404, Some("/subscription_id")),
        (json!({ "event": event, "tenant": "x" }), 422, Some("/tenant")),
    ] {
        acme.post("/v1/events/explain", &asked).await.assert_problem(status, field);
    }
}

#[tokio::test]
async fn an_event_is_found_by_its_identity_or_its_id_with_deliveries_and_payload() {
    let api = Fixture::new().await;
    let (acme, stranger) = (api.tenant("Acme").await, api.tenant("Initech").await);
    let event = event(&acme.id, "a/b,1", 3);
    api.events.0.lock().push(event.clone());
    log(&api, delivery(&event, "ep_00000000000000000000000001")).await;
    let hex = hex::encode_upper(event.id.as_str());
    let encoded: String = hex.as_bytes().chunks(2).flat_map(|digits| ["%", str::from_utf8(digits).unwrap()]).collect();
    for id in ["a%2Fb,1", &encoded] {
        let answer = acme.get(&format!("/v1/events/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body["event_id"], event.id.as_str());
        assert_eq!(answer.body["source"]["offset"], 3);
        assert_eq!(answer.body["deliveries"][0]["status"], "failed");
        let payload = acme.get(&format!("/v1/events/{id}/payload")).await;
        assert_eq!(payload.status, 200, "{}", payload.text);
        assert_eq!((&payload.body["data"], &payload.body["id"]), (&json!("{\"total\": 99}"), &json!("a/b,1")));
        stranger.get(&format!("/v1/events/{id}")).await.assert_problem(404, None);
        stranger.get(&format!("/v1/events/{id}/payload")).await.assert_problem(404, None);
        let asked = json!({ "source": { "topic": "postrider.events", "partition": 0, "offset": 3 } });
        stranger.post("/v1/events/explain", &asked).await.assert_problem(404, Some("/source"));
    }
    acme.get("/v1/events/nothing").await.assert_problem(404, None);
    acme.get("/v1/events/a%00b").await.assert_problem(404, None);
}

#[tokio::test]
async fn a_payload_whose_place_another_record_has_taken_is_gone() {
    let api = Fixture::new().await;
    let (acme, stranger) = (api.tenant("Acme").await, api.tenant("Initech").await);
    let logged = event(&acme.id, "evt-1", 3);
    log(&api, delivery(&logged, "ep_00000000000000000000000001")).await;
    for other in [event(&stranger.id, "evt-1", 3), event(&acme.id, "evt-2", 3)] {
        *api.events.0.lock() = vec![other];
        let answer = acme.get("/v1/events/evt-1/payload").await;
        answer.assert_problem(410, None);
        assert_eq!(answer.body["type"], "/problems/payload-gone");
    }
}
