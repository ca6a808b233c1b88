//! A dispatcher whose directory lags: an endpoint that it does not know yet is not one that was deleted.

use bytes::Bytes;
use postrider_domain::{
    Delivery, DeliveryKind, DirectoryVersion, EndpointId, Method, Priority, Routing, Run, SourceCoordinates,
    SubscriptionId, TenantId, Timestamp,
    delivery::Attempt,
    message_id::{event_id, message_id},
};
use postrider_kafka::{Codec, Outgoing, partition_for_key, routing_to_headers};
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Tenant, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_delivery_to_an_endpoint_that_the_dispatcher_does_not_know_yet_waits_for_it]
}

/// The roles of the process whose directory lags: everything but the relay, which the test starts and stops.
const REST: [&str; 2] = ["--roles", "api,matcher,dispatcher,retrier,projector"];
const RELAY: [&str; 2] = ["--roles", "relay"];

async fn a_delivery_to_an_endpoint_that_the_dispatcher_does_not_know_yet_waits_for_it(context: Context) {
    let deployment = Deployment::prepare(&context, "lag", "").await;
    let mut relay = deployment.serve(&RELAY);
    let mut rest = deployment.serve(&REST);
    rest.ready().await;
    let api = postrider_testkit::ApiClient::new(&rest.process.api_url(), deployment.operator_key());
    let tenant = Tenant::create(api).await;
    let receiver = deployment.receiver().await;
    let known = Hook::create(&tenant, &receiver, "/known", json!({})).await;
    deployment.synced_in(&rest).await;

    // From here on the directory of the process lags behind what the API has answered.
    assert!(relay.terminate().await.success());
    let new = Hook::create(&tenant, &receiver, "/new", json!({})).await;
    let reached = deployment.published_version().await;
    let ahead = DirectoryVersion { seq: reached.seq + 1, ..reached };
    // As a matcher in a process that is not behind would write it.
    deployment.write(&delivery(&deployment, &tenant, &new, ahead)).await;
    // And one for an endpoint that is not there at the version that this directory has reached: that was deleted.
    let deleted = EndpointId::from_trusted("ep_00000000000000000000000000");
    deployment.write(&delivery_to(&deployment, &tenant, &deleted, reached)).await;
    let cancelled = message_id(&event_id("events", None, "1"), &deleted);
    tenant.delivery(cancelled.as_str(), "cancelled").await;
    deployment.write(&crate::support::event(&deployment, &tenant, "2", "order.created", &json!(2))).await;
    known.wait_for(1).await;
    assert_eq!(new.count(), 0);

    let mut relay = deployment.serve(&RELAY);
    let received = receiver.wait_for("/new", 1, LIMIT).await;
    assert_eq!(received[0].webhook_id(), new.message_id("1"));
    assert_eq!(receiver.bad_signatures("/new"), 0);
    let run = tenant.delivery(&new.message_id("1"), "delivered").await;
    assert_eq!(run["delivery"]["attempt"], 1);
    assert!(relay.terminate().await.success());
}

fn delivery(deployment: &Deployment, tenant: &Tenant, hook: &Hook<'_>, version: DirectoryVersion) -> Outgoing {
    delivery_to(deployment, tenant, &EndpointId::from_trusted(hook.id.as_str()), version)
}

/// The record of event `1` for an endpoint.
fn delivery_to(deployment: &Deployment, tenant: &Tenant, endpoint: &EndpointId, version: DirectoryVersion) -> Outgoing {
    let now = postrider_control::clock::now();
    let event = event_id("events", None, "1");
    let delivery = Delivery {
        message_id: message_id(&event, endpoint),
        run: Run::LIVE,
        kind: DeliveryKind::Live,
        event_id: event,
        tenant: TenantId::from_trusted(tenant.id.as_str()),
        endpoint: endpoint.clone(),
        subscription: SubscriptionId::from_trusted("sub_00000000000000000000000000"),
        event_type: "order.created".to_owned(),
        ordering_key: None,
        source: SourceCoordinates { topic: deployment.topics.events().into(), partition: 0, offset: 0 },
        content_type: "application/json".to_owned(),
        headers: Vec::new(),
        body: Bytes::from_static(br#"{"type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","data":1}"#),
        method: Method::Post,
        path_suffix: String::new(),
    };
    Outgoing {
        topic: deployment.topics.deliveries().into(),
        partition: Some(partition_for_key(endpoint.as_str(), 3)),
        key: Bytes::copy_from_slice(endpoint.as_str().as_bytes()),
        value: Some(Codec::new().encode(&delivery)),
        headers: routing_to_headers(&routing(version, now)),
    }
}

fn routing(version: DirectoryVersion, now: Timestamp) -> Routing {
    Routing {
        attempt: Attempt::FIRST,
        first_attempt_at: None,
        not_before: None,
        matched_at: now,
        version: Some(version),
        generation: 0,
        priority: Priority::Normal,
        traceparent: None,
    }
}
