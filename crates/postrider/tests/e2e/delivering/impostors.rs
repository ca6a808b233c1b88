//! Peers that are no proper HTTP servers: each has its error class, and none makes us read for ever.

use postrider_testkit::{Impostor, Nonsense};
use serde_json::json;

use crate::support::{Context, Deployment, Hook, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![a_peer_that_is_no_proper_server_has_its_class, a_status_counts_whatever_becomes_of_the_body]
}

/// More than any peer can have sent of which no more than the limit was read: the rest is in sockets' buffers.
const MOST_SENT_BYTES: u64 = 32 * 1024 * 1024;

struct Meeting<'a> {
    nonsense: Nonsense,
    impostor: Impostor,
    hook: Hook<'a>,
}

/// Sends one event, once, to an impostor of each kind.
async fn meet<'a>(
    deployment: &Deployment,
    tenant: &crate::support::Tenant,
    receiver: &'a postrider_testkit::Receiver,
    kinds: impl IntoIterator<Item = Nonsense>,
) -> Vec<Meeting<'a>> {
    let once = json!({"retry": {"delays_seconds": []}, "timeout_ms": 2_000});
    let mut meetings = Vec::new();
    for (number, nonsense) in kinds.into_iter().enumerate() {
        let impostor = Impostor::start(nonsense).await.unwrap();
        let (path, url) = (format!("/{number}"), impostor.url("/hook"));
        let hook = Hook::create_at(tenant, receiver, &path, url, once.clone()).await;
        meetings.push(Meeting { nonsense, impostor, hook });
    }
    deployment.synced().await;
    deployment.write(&event(deployment, tenant, "1", "order.created", &json!(1))).await;
    meetings
}

async fn a_peer_that_is_no_proper_server_has_its_class(context: Context) {
    let deployment = Deployment::with(&context, "impostors", "[egress]\nallow_http = true").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let classes = [
        (Nonsense::Garbage, "invalid_response"),
        (Nonsense::EndlessHeaders, "invalid_response"),
        (Nonsense::EndlessHeader, "invalid_response"),
        (Nonsense::TrickledHead, "timeout"),
        (Nonsense::Nothing, "connect"),
    ];
    let meetings = meet(&deployment, &tenant, &receiver, classes.map(|(nonsense, _)| nonsense)).await;
    for (Meeting { nonsense, impostor, hook }, (_, class)) in meetings.iter().zip(classes) {
        let run = tenant.delivery(&hook.message_id("1"), "failed").await;
        assert_eq!(run["delivery"]["last_error"], class, "{nonsense:?}: {run:#}");
        assert!(impostor.sent_bytes() < MOST_SENT_BYTES, "{nonsense:?} sent {} bytes", impostor.sent_bytes());
        assert_eq!(impostor.connections(), 1, "{nonsense:?}: one attempt");
    }
}

async fn a_status_counts_whatever_becomes_of_the_body(context: Context) {
    let deployment = Deployment::with(&context, "bodies", "[egress]\nallow_http = true").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    for Meeting { nonsense, impostor, hook } in
        meet(&deployment, &tenant, &receiver, [Nonsense::EndlessBody, Nonsense::CutBody]).await
    {
        let run = tenant.delivery(&hook.message_id("1"), "delivered").await;
        let excerpt = run["attempts"][0]["response_excerpt"].as_str().unwrap();
        let expected = if nonsense == Nonsense::CutBody { "half".len() } else { 16 * 1024 };
        assert_eq!(excerpt.len(), expected, "{nonsense:?}");
        assert!(impostor.sent_bytes() < MOST_SENT_BYTES, "{nonsense:?} sent {} bytes", impostor.sent_bytes());
    }
}
