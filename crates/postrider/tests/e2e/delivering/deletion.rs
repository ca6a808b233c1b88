//! An endpoint is deleted while deliveries wait for it.

use postrider_domain::{
    DeliveryEvent, DeliveryEventBody,
    delivery_event::{CancelReason, HeldRange, RangeReason},
};
use postrider_kafka::Codec;
use postrider_testkit::{Behaviour, eventually};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Tenant, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![what_waits_for_an_endpoint_that_is_deleted_ends_as_endpoint_deleted_and_is_counted]
}

async fn delete(tenant: &Tenant, hook: &Hook<'_>) {
    let (status, body) = tenant.api.delete(&format!("/v1/endpoints/{}", hook.id)).await.unwrap();
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
}

async fn what_waits_for_an_endpoint_that_is_deleted_ends_as_endpoint_deleted_and_is_counted(context: Context) {
    let deployment = Deployment::start(&context, "deletion").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let retried = Hook::create(&tenant, &receiver, "/retried", json!({"retry": {"delays_seconds": [2, 2]}})).await;
    let paused = Hook::create(&tenant, &receiver, "/paused", json!({})).await;
    receiver.behave("/retried", Behaviour::Always(500));
    tenant.pause(&paused.id).await;
    deployment.synced().await;
    let events = deployment.read(&deployment.topics.delivery_events());

    for id in ["1", "2"] {
        deployment.write(&event(&deployment, &tenant, id, "order.created", &json!(id))).await;
        tenant.delivery(&retried.message_id(id), "retrying").await;
        tenant.delivery(&paused.message_id(id), "held").await;
    }
    delete(&tenant, &retried).await;
    delete(&tenant, &paused).await;
    deployment.synced().await;
    let sent = retried.count();

    for hook in [&retried, &paused] {
        for id in ["1", "2"] {
            tenant.delivery(&hook.message_id(id), "cancelled").await;
        }
    }
    let codec = Codec::new();
    // A delivery that waits in a tier ends by itself, those that are held end together.
    let cancelled = events.wait_for(2, LIMIT, |record| {
        let event = record.value.as_ref().and_then(|value| codec.decode::<DeliveryEvent>(value).ok());
        let reason = |event: DeliveryEvent| match event.body {
            DeliveryEventBody::Cancelled(cancelled) => Some(cancelled.reason),
            _ => None,
        };
        event.and_then(reason) == Some(CancelReason::EndpointDeleted)
    });
    assert_eq!(cancelled.await.len(), 2);
    let ranges = events.wait_for(1, LIMIT, |record| {
        let range = record.value.as_ref().and_then(|value| codec.decode::<HeldRange>(value).ok());
        range.is_some_and(|range| (range.reason, range.count) == (RangeReason::EndpointDeleted, 2))
    });
    assert_eq!(ranges.await.len(), 1);
    eventually(LIMIT, "all four to be counted", async || {
        (deployment.metric("postrider_cancelled_total").await? >= 4.0).then_some(())
    })
    .await;
    assert_eq!((retried.count(), paused.count()), (sent, 0), "nothing was sent to an endpoint that is gone");
}
