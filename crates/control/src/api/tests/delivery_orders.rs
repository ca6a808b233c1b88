//! What a delivery sends, and orders about deliveries that wait.

use std::time::Duration;

use bytes::Bytes;
use postrider_domain::{
    Attempt, Delivery, DeliveryKind, EndpointId, EventId, MessageId, Method, Priority, Routing, Run, SourceCoordinates,
    SubscriptionId, TenantId, Timestamp,
    delivery::{Header, NotBefore},
    overrides::OVERRIDE_KEPT,
};
use postrider_postgres::delivery_log::{self, DeliveryRow, DeliveryStatus};
use serde_json::json;

use super::fixture::{Fixture, TenantClient};
use crate::api::StoredDelivery;

const MESSAGE: &str = "msg_00000000000000000000000001";

fn place(offset: i64) -> SourceCoordinates {
    SourceCoordinates { topic: "postrider.deliveries".into(), partition: 0, offset }
}

/// A delivery in its second attempt, as its record says, which stands at offset 7.
fn stored(tenant: &str, endpoint: &str) -> StoredDelivery {
    let delivery = Delivery {
        message_id: MessageId::from_trusted(MESSAGE),
        run: Run::LIVE,
        kind: DeliveryKind::Live,
        event_id: EventId::from_trusted("event"),
        tenant: TenantId::from_trusted(tenant),
        endpoint: EndpointId::from_trusted(endpoint),
        subscription: SubscriptionId::from_trusted("sub_1"),
        event_type: "order.created".to_owned(),
        ordering_key: None,
        source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 1 },
        content_type: "application/json".to_owned(),
        headers: vec![Header { name: "authorization".to_owned(), value: "Bearer x".to_owned() }],
        body: Bytes::from_static(b"{\"a\": 1.10}"),
        method: Method::Post,
        path_suffix: String::new(),
    };
    let routing = Routing {
        attempt: Attempt::new(2).unwrap(),
        first_attempt_at: None,
        not_before: Some(NotBefore { at: Timestamp::from_millis(5), whole_delay: Duration::from_secs(5) }),
        matched_at: Timestamp::from_millis(1),
        version: None,
        generation: 0,
        priority: Priority::Normal,
        traceparent: None,
    };
    StoredDelivery { value: Bytes::from_static(b"avro"), delivery, routing }
}

fn row(tenant: &str, endpoint: &str, status: DeliveryStatus) -> DeliveryRow {
    let of = stored(tenant, endpoint).delivery;
    DeliveryRow {
        message_id: of.message_id,
        run: of.run,
        tenant: of.tenant,
        endpoint: of.endpoint,
        subscription: of.subscription,
        event_id: of.event_id,
        event_type: of.event_type,
        kind: of.kind,
        source: of.source,
        status,
        rank: status.rank(),
        held: None,
        attempt: 2,
        last_status: Some(503),
        last_error: None,
        last_error_message: None,
        next_attempt_at: Some(Timestamp::from_millis(4_000_000_000_000)),
        matched_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
        payload: Some(place(7)),
    }
}

/// An API with one delivery of a tenant in this state, and the tenant's endpoint that it is for.
async fn with_delivery(api: &Fixture, status: DeliveryStatus) -> (TenantClient<'_>, String) {
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await.id();
    log(api, &row(&acme.id, &endpoint, status)).await;
    api.deliveries.stored.lock().insert(7, stored(&acme.id, &endpoint));
    (acme, endpoint)
}

async fn log(api: &Fixture, row: &DeliveryRow) {
    let mut conn = api.pool.acquire().await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, std::slice::from_ref(row)).await.unwrap();
}

fn path(action: &str) -> String {
    format!("/v1/deliveries/{MESSAGE}/{action}")
}

#[tokio::test]
async fn a_payload_is_shown_to_the_byte_while_it_is_still_that_delivery() {
    let api = Fixture::new().await;
    let (acme, endpoint) = with_delivery(&api, DeliveryStatus::Delivered).await;
    let stranger = api.tenant("Initech").await;
    let shown = acme.get(&path("payload")).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!((&shown.body["body"], &shown.body["encoding"]), (&json!("{\"a\": 1.10}"), &json!("utf8")));
    assert_eq!(shown.body["headers"], json!([{ "name": "authorization", "value": "***" }]));
    stranger.get(&path("payload")).await.assert_problem(404, None);
    acme.get(&format!("{}?run=job_00000000000000000000000001:1", path("payload")))
        .await
        .assert_problem(404, Some("run"));
    acme.get(&format!("{}?run=x", path("payload"))).await.assert_problem(400, Some("run"));

    // Another tenant's record, or another event's, has taken its place.
    let other_event = Delivery { event_id: EventId::from_trusted("other"), ..stored(&acme.id, &endpoint).delivery };
    for delivery in [stored(&stranger.id, &endpoint).delivery, other_event] {
        api.deliveries.stored.lock().insert(7, StoredDelivery { delivery, ..stored(&acme.id, &endpoint) });
        acme.get(&path("payload")).await.assert_problem(410, None);
    }
    api.deliveries.stored.lock().clear();
    let gone = acme.get(&path("payload")).await;
    gone.assert_problem(410, None);
    assert_eq!(gone.body["type"], "/problems/payload-gone");
    *api.deliveries.fails.lock() = true;
    acme.get(&path("payload")).await.assert_problem(503, None);
}

#[tokio::test]
async fn a_cancelled_delivery_is_ordered_shown_and_written_down() {
    let api = Fixture::new().await;
    let (acme, _) = with_delivery(&api, DeliveryStatus::Retrying).await;
    let stranger = api.tenant("Initech").await;
    stranger.post(&path("cancel"), &json!({})).await.assert_problem(404, None);
    for _ in 0..2 {
        let cancelled = acme.post(&path("cancel"), &json!({})).await;
        assert_eq!(cancelled.status, 202, "{}", cancelled.text);
        assert_eq!(cancelled.body["status"], "cancelled");
        assert_eq!(cancelled.body["attempt"], 3, "before the next one");
        assert_eq!(cancelled.body["next_attempt_at"], json!(null));
    }
    let orders = api.deliveries.orders.lock().clone();
    let [order] = &orders[..] else { panic!("{orders:?}") };
    assert_eq!((order.message_id.as_str(), order.cancelled, order.superseded_below), (MESSAGE, true, 0));
    assert!(order.until >= api.broker_clock.now() + OVERRIDE_KEPT - Duration::from_mins(1));
    // An attempt that was being made is told by what came of it: a failure changes nothing, a success does.
    let (endpoint, tenant) = (EndpointId::from_trusted("ep_1"), acme.id.as_str());
    let attempted = |status| DeliveryRow { attempt: 3, ..row(tenant, endpoint.as_str(), status) };
    log(&api, &attempted(DeliveryStatus::Retrying)).await;
    assert_eq!(acme.get(&format!("/v1/deliveries/{MESSAGE}")).await.body["runs"][0]["delivery"]["status"], "cancelled");
    // Of attempts that the log did not have when it was ordered, the last may be a failure: it stays cancelled.
    log(&api, &DeliveryRow { attempt: 4, ..attempted(DeliveryStatus::Retrying) }).await;
    let refused = acme.post(&path("retry"), &json!({})).await;
    refused.assert_problem(409, None);
    assert!(refused.text.contains("it was cancelled") && api.deliveries.sent.lock().is_empty(), "{}", refused.text);
    log(&api, &DeliveryRow { attempt: 4, ..attempted(DeliveryStatus::Delivered) }).await;
    assert_eq!(acme.get(&format!("/v1/deliveries/{MESSAGE}")).await.body["runs"][0]["delivery"]["status"], "delivered");
}

#[tokio::test]
async fn a_delivery_is_tried_again_at_once_as_the_attempt_that_was_due() {
    let api = Fixture::new().await;
    let (acme, _) = with_delivery(&api, DeliveryStatus::Retrying).await;
    for generation in 1..=2 {
        let retried = acme.post(&path("retry"), &json!({})).await;
        assert_eq!(retried.status, 202, "{}", retried.text);
        assert_eq!(retried.body["status"], "retrying");
        let sent = api.deliveries.sent.lock().last().cloned().unwrap();
        let routing = sent.routing;
        assert_eq!((sent.value, routing.attempt.get(), routing.not_before), (Bytes::from_static(b"avro"), 3, None));
        assert_eq!((routing.generation, routing.matched_at), (generation, Timestamp::from_millis(1)));
        let order = api.deliveries.orders.lock().last().cloned().unwrap();
        assert_eq!((order.cancelled, order.superseded_below), (false, generation));
    }
    // Cancelled afterwards, both what waited and what went ahead end.
    assert_eq!(acme.post(&path("cancel"), &json!({})).await.status, 202);
    let order = api.deliveries.orders.lock().last().cloned().unwrap();
    assert_eq!((order.cancelled, order.superseded_below), (true, 2));
}

#[tokio::test]
async fn what_was_only_put_aside_comes_again_under_its_number() {
    let api = Fixture::new().await;
    let (acme, _) = with_delivery(&api, DeliveryStatus::Waiting).await;
    assert_eq!(acme.post(&path("retry"), &json!({})).await.status, 202);
    assert_eq!(api.deliveries.sent.lock()[0].routing.attempt.get(), 2);
}

#[tokio::test]
async fn what_can_not_be_done_says_what_can() {
    for (status, action, hint) in [
        (DeliveryStatus::Delivered, "retry", "no attempt follows"),
        (DeliveryStatus::Cancelled, "retry", "no attempt follows"),
        (DeliveryStatus::Failed, "retry", "redrive"),
        (DeliveryStatus::Held, "retry", "resume its endpoint"),
        (DeliveryStatus::Delivered, "cancel", "nothing of it waits"),
        (DeliveryStatus::Failed, "cancel", "purge"),
    ] {
        let api = Fixture::new().await;
        let (acme, _) = with_delivery(&api, status).await;
        let refused = acme.post(&path(action), &json!({})).await;
        refused.assert_problem(409, None);
        assert!(refused.text.contains(hint), "{}", refused.text);
        assert!(api.deliveries.orders.lock().is_empty());
    }
    let api = Fixture::new().await;
    let (acme, endpoint) = with_delivery(&api, DeliveryStatus::Retrying).await;
    let endpoint = format!("/v1/endpoints/{endpoint}");
    for (change, hint) in [
        (json!({ "ordering": { "on_exhausted": "block" } }), "ordered"),
        (json!({ "ordering": null, "enabled": false }), "disabled"),
    ] {
        let changed = acme.patch(&endpoint, &change).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let refused = acme.post(&path("retry"), &json!({})).await;
        refused.assert_problem(409, None);
        assert!(refused.text.contains(hint), "{}", refused.text);
    }
    assert_eq!(acme.patch(&endpoint, &json!({ "enabled": true })).await.status, 200);
    assert_eq!(acme.post(&format!("{endpoint}/pause"), &json!({})).await.status, 200);
    acme.post(&path("retry"), &json!({})).await.assert_problem(409, None);
    assert_eq!(acme.delete(&endpoint).await.status, 204);
    let refused = acme.post(&path("retry"), &json!({})).await;
    refused.assert_problem(409, None);
    assert!(refused.text.contains("deleted"), "{}", refused.text);
}

#[tokio::test]
async fn without_kafka_nothing_is_ordered_and_nothing_written_down() {
    let api = Fixture::new().await;
    let (acme, _) = with_delivery(&api, DeliveryStatus::Retrying).await;
    *api.deliveries.fails.lock() = true;
    for action in ["retry", "cancel"] {
        acme.post(&path(action), &json!({})).await.assert_problem(503, None);
    }
    let shown = acme.get(&format!("/v1/deliveries/{MESSAGE}")).await;
    assert_eq!(shown.body["runs"][0]["delivery"]["status"], "retrying");
    *api.deliveries.fails.lock() = false;
    api.deliveries.stored.lock().clear();
    acme.post(&path("retry"), &json!({})).await.assert_problem(410, None);
    assert!(api.deliveries.orders.lock().is_empty() && api.deliveries.sent.lock().is_empty());
}
