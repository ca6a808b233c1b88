//! The signature, held against an implementation that is not ours (in the receiver).

use serde_json::json;

use crate::support::{Context, Deployment, Hook, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![every_endpoint_has_a_secret_of_its_own_and_receivers_can_verify_it]
}

async fn every_endpoint_has_a_secret_of_its_own_and_receivers_can_verify_it(context: Context) {
    let deployment = Deployment::start(&context, "signature").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let first = Hook::create(&tenant, &receiver, "/first", json!({})).await;
    let second = Hook::create(&tenant, &receiver, "/second", json!({})).await;
    assert_ne!(first.secret, second.secret);
    // One more that is verified with the wrong secret: the check itself has to be able to fail.
    let third = Hook::create(&tenant, &receiver, "/third", json!({})).await;
    receiver.verify("/third", &second.secret).unwrap();
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!({"total": 1}))).await;
    let received = first.wait_for(1).await;
    second.wait_for(1).await;
    receiver.wait_for("/third", 1, crate::support::LIMIT).await;
    assert_eq!(receiver.bad_signatures("/third"), 1);
    assert_eq!(received[0].webhook_id(), first.message_id("1"));
    assert_ne!(first.message_id("1"), third.message_id("1"), "a message is an event for an endpoint");
    let timestamp: i64 = received[0].header("webhook-timestamp").parse().unwrap();
    assert!((timestamp - received[0].at.as_seconds()).abs() <= 5, "{timestamp} is not now");
    assert!(received[0].header("webhook-signature").starts_with("v1,"));
}
