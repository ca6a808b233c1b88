//! Answers that are no success, and receivers that misbehave: each has its error class.

use std::time::Duration;

use postrider_testkit::{Behaviour, Receiver, TestCa};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![a_redirect_is_a_failure_and_is_not_followed, each_misbehaviour_has_its_class, a_2xx_counts_whatever_its_body]
}

/// One attempt.
fn once(timeout_ms: u32) -> Value {
    json!({"retry": {"delays_seconds": []}, "timeout_ms": timeout_ms})
}

async fn a_redirect_is_a_failure_and_is_not_followed(context: Context) {
    let deployment = Deployment::start(&context, "redirect").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/moved", once(5_000)).await;
    receiver.behave("/moved", Behaviour::Redirect(receiver.url("/elsewhere")));
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(1))).await;
    let run = tenant.delivery(&hook.message_id("1"), "failed").await;
    assert_eq!(run["delivery"]["last_error"], "redirect");
    assert_eq!(run["delivery"]["last_status"], 302);
    assert_eq!(receiver.count("/elsewhere"), 0, "the redirect was followed");
}

async fn each_misbehaviour_has_its_class(context: Context) {
    let deployment = Deployment::start(&context, "classes").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    // A receiver whose certificate nobody vouches for, and a port where nobody listens.
    let stranger = Receiver::start_tls(&TestCa::generate().unwrap(), &[]).unwrap();
    let closed = {
        let receiver = deployment.receiver().await;
        receiver.url("/")
    };
    let mut hooks = Vec::new();
    for (path, behaviour, class) in [
        ("/teapot", Behaviour::Always(418), "http_client_error"),
        ("/busy", Behaviour::Always(429), "rate_limited"),
        ("/down", Behaviour::Always(502), "http_server_error"),
        ("/hang", Behaviour::Hang, "timeout"),
        ("/slow", Behaviour::Slow(Duration::from_secs(20)), "timeout"),
    ] {
        receiver.behave(path, behaviour);
        hooks.push((Hook::create(&tenant, &receiver, path, once(1_000)).await, class));
    }
    // A receiver of its own: requests to one host may share a connection, and what resets it.
    let resetting = deployment.receiver().await;
    resetting.behave("/reset", Behaviour::Reset);
    hooks.push((Hook::create(&tenant, &resetting, "/reset", once(1_000)).await, "connect"));
    let tls = Hook::create_at(&tenant, &receiver, "/tls", stranger.url("/tls"), once(5_000)).await;
    let connect = Hook::create_at(&tenant, &receiver, "/closed", closed, once(5_000)).await;
    let nowhere = "https://nowhere.invalid/hook".to_owned();
    let dns = Hook::create_at(&tenant, &receiver, "/dns", nowhere, once(10_000)).await;
    hooks.extend([(tls, "tls"), (connect, "connect"), (dns, "dns")]);
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(1))).await;
    for (hook, class) in &hooks {
        let run = tenant.delivery(&hook.message_id("1"), "failed").await;
        assert_eq!(run["delivery"]["last_error"], *class, "{run:#}");
    }
    assert_eq!(stranger.count("/tls"), 0, "nothing is sent to a receiver that can't prove who it is");
}

async fn a_2xx_counts_whatever_its_body(context: Context) {
    let deployment = Deployment::start(&context, "bodies").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let huge = Hook::create(&tenant, &receiver, "/huge", once(5_000)).await;
    let trickle = Hook::create(&tenant, &receiver, "/trickle", once(1_000)).await;
    let accepted = Hook::create(&tenant, &receiver, "/accepted", once(5_000)).await;
    receiver.behave("/huge", Behaviour::HugeBody);
    receiver.behave("/trickle", Behaviour::Trickle);
    receiver.behave("/accepted", Behaviour::Ok(202));
    deployment.synced().await;

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(1))).await;
    for hook in [&huge, &trickle, &accepted] {
        hook.wait_for(1).await;
        let run = tenant.delivery(&hook.message_id("1"), "delivered").await;
        let excerpt = run["attempts"][0]["response_excerpt"].as_str().unwrap_or_default();
        assert!(excerpt.len() <= 16 * 1024, "{} bytes of the answer are kept", excerpt.len());
    }
}
