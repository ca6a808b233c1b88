//! Records that Kafka refuses for good: what can be kept of them is, and what comes after them goes on.

use postrider_domain::{ErrorClass, delivery_event::DeadLetter};
use postrider_kafka::Codec;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, record, tests};

pub fn tests() -> Vec<Test> {
    tests![what_is_too_large_for_any_topic_leaves_a_record_without_its_bytes]
}

/// The processes may write records of 30 kB; who publishes may write larger ones.
const CONFIGURATION: &str = "[topics]\npartitions = 1\n[kafka.properties]\n\"message.max.bytes\" = 30000";
const LARGE: usize = 40_000;

async fn what_is_too_large_for_any_topic_leaves_a_record_without_its_bytes(context: Context) {
    let deployment = Deployment::with(&context, "refused", CONFIGURATION).await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    deployment.synced().await;

    let source = deployment.topics.events();
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!("x".repeat(LARGE)))).await;
    let nonsense = deployment.write(&record(&source, "k", "x".repeat(LARGE), &[])).await;
    deployment.write(&event(&deployment, &tenant, "2", "order.created", &json!("2"))).await;

    hook.wait_for(1).await;
    assert_eq!(hook.data(), [json!("2")], "what came after it is delivered");
    let run = tenant.delivery(&hook.message_id("1"), "failed").await;
    assert_eq!(run["delivery"]["last_error"], "payload_too_large");
    let letters = deployment.read(&deployment.topics.dlq()).wait_for(1, LIMIT, |_| true).await;
    let letter: DeadLetter = Codec::new().decode(letters[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((letter.error, letter.delivery.body.len()), (ErrorClass::PayloadTooLarge, 0));
    assert_eq!(letter.delivery.message_id.as_str(), hook.message_id("1"));

    let rejected = deployment.read(&deployment.topics.rejected()).wait_for(1, LIMIT, |_| true).await;
    let key = format!("{source}/{}/{}", nonsense.partition, nonsense.offset);
    assert_eq!((rejected[0].key_str(), rejected[0].value.as_deref().unwrap_or_default()), (Some(&*key), &b""[..]));
    assert_eq!(rejected[0].headers.get_str("pr-reason"), Some("undecodable"));
}
