//! Records that are no events: they end in the rejected topic, and what comes after them goes on.

use postrider_kafka::Record;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, record, tests};

pub fn tests() -> Vec<Test> {
    tests![what_is_not_an_event_is_rejected_with_its_reason_and_bytes_and_the_rest_goes_on]
}

/// How much of a record the rejected topic keeps.
const KEPT_BYTES: usize = 900 * 1024;

async fn what_is_not_an_event_is_rejected_with_its_reason_and_bytes_and_the_rest_goes_on(context: Context) {
    // One partition: whatever is good comes after what is bad.
    let deployment = Deployment::with(&context, "rejected", "[topics]\npartitions = 1").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    deployment.synced().await;

    let topic = deployment.topics.events();
    let tenant_id = &tenant.id;
    let huge = format!(r#"{{"type":"order.created","tenant":"{tenant_id}","data":"{}"}}"#, "x".repeat(1 << 20));
    let bad = [
        ("undecodable", "not JSON at all".to_owned()),
        ("undecodable", r#"["an", "array"]"#.to_owned()),
        ("undecodable", format!(r#"{{"type":"order.created","tenant":"{tenant_id}","data":{{"cut":"#)),
        ("event_type", format!(r#"{{"tenant":"{tenant_id}","data":1}}"#)),
        ("event_type", format!(r#"{{"type":"order created","tenant":"{tenant_id}","data":1}}"#)),
        ("tenant", r#"{"type":"order.created","data":1}"#.to_owned()),
        ("tenant", r#"{"type":"order.created","tenant":"acme","data":1}"#.to_owned()),
        ("too_large", huge),
    ];
    let mut coordinates = Vec::new();
    for (_, value) in &bad {
        let ack = deployment.write(&record(&topic, "k", value.clone(), &[("x-trace", "7")])).await;
        coordinates.push((ack.partition, ack.offset));
    }
    deployment.write(&event(&deployment, &tenant, "good", "order.created", &json!("good"))).await;

    hook.wait_for(1).await;
    assert_eq!(hook.data(), [json!("good")], "only the good one is delivered");

    let reader = deployment.read(&deployment.topics.rejected());
    let rejected = reader.wait_for(bad.len(), LIMIT, |_| true).await;
    for ((reason, value), (partition, offset)) in bad.iter().zip(coordinates) {
        let key = format!("{topic}/{partition}/{offset}");
        let found: Vec<&Record> = rejected.iter().filter(|record| record.key_str() == Some(&key)).collect();
        let [found] = found[..] else { panic!("{} records for {reason} {key}", found.len()) };
        let header = |name: &str| found.headers.get_str(name).unwrap_or("(none)");
        assert_eq!(header("pr-reason"), *reason, "{value:.80}");
        assert!(header("pr-message").len() > 10, "it says why: {}", header("pr-message"));
        assert_eq!(header("pr-source-topic"), topic);
        assert_eq!(header("pr-source-partition"), partition.to_string());
        assert_eq!(header("pr-source-offset"), offset.to_string());
        assert_eq!(header("x-trace"), "7", "its own headers are kept");
        let kept = found.value.as_deref().unwrap();
        assert_eq!(kept, &value.as_bytes()[..value.len().min(KEPT_BYTES)], "{reason}");
        assert_eq!(header("pr-truncated") == "true", value.len() > KEPT_BYTES, "{reason}");
    }
    let counted = deployment.metric("postrider_rejected_total").await;
    #[expect(clippy::cast_precision_loss, reason = "eight")]
    let expected = bad.len() as f64;
    assert_eq!(counted, Some(expected), "each is counted");
}
