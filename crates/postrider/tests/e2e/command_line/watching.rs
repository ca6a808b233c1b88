//! Deliveries, watched as they go.

use postrider_testkit::Receiver;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Running, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![tail_prints_deliveries_as_they_go, listen_posts_what_is_delivered_to_a_port_of_this_machine]
}

async fn tail_prints_deliveries_as_they_go(context: Context) {
    let mut deployment = Deployment::start(&context, "tail").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    deployment.synced().await;
    let url = deployment.service().process.api_url();
    let mut tail = Running::start(&["tail", "--url", &url, "--api-key", &tenant.key, "--lines", "1"], "");
    tail.tells("Watching").await;
    tenant.publish(&json!({"type": "order.created", "id": "o-1", "data": {}})).await;
    let (code, said) = tail.ends().await;
    let received = hook.wait_for(1).await.remove(0);
    assert!(code == 0 && said.contains("delivered") && said.contains(received.webhook_id()), "{code}: {said}");
}

async fn listen_posts_what_is_delivered_to_a_port_of_this_machine(context: Context) {
    let mut deployment = Deployment::start(&context, "listen").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({"headers": {"x-team": "checkout"}})).await;
    deployment.synced().await;
    let url = deployment.service().process.api_url();
    let local = Receiver::start().unwrap();
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    // As it was sent, so that the endpoint's own secret verifies it; and signed anew.
    local.verify("/sent", &hook.secret).unwrap();
    local.verify("/anew", other).unwrap();
    let (sent, anew) = (local.url("/sent"), local.url("/anew"));
    let listen = ["listen", "--url", &url, "--api-key", &tenant.key, "--count", "1", "--forward-to"];
    let mut first = Running::start(&[&listen[..], &[&sent]].concat(), "");
    let mut second = Running::start(&[&listen[..], &[&anew, "--secret", other]].concat(), "");
    first.tells("Posting to").await;
    second.tells("Posting to").await;
    tenant.publish(&json!({"type": "order.created", "id": "o-1", "data": {"note": "zażółć"}})).await;
    for listening in [first, second] {
        let (code, said) = listening.ends().await;
        assert!(code == 0 && said.contains("200 OK"), "{code}: {said}");
    }
    let original = hook.wait_for(1).await.remove(0);
    for path in ["/sent", "/anew"] {
        let posted = local.wait_for(path, 1, LIMIT).await.remove(0);
        assert_eq!(local.bad_signatures(path), 0, "{path}");
        assert_eq!((posted.webhook_id(), &posted.body), (original.webhook_id(), &original.body), "{path}");
    }
    let posted = local.received("/sent").remove(0);
    for header in ["webhook-timestamp", "webhook-signature", "content-type", "user-agent"] {
        assert_eq!(posted.header(header), original.header(header), "{header}");
    }
    assert!(!posted.headers.contains_key("x-team"), "the log does not have it");
}
