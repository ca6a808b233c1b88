//! Redriving the dead-letter queue.

use std::time::Duration;

use bytes::Bytes;
use postrider_domain::{
    Delivery, DeliveryKind, EndpointId, ErrorClass, EventId, MessageId, Method, Run, SourceCoordinates, SubscriptionId,
    TenantId, Timestamp, delivery_event::DeadLetter,
};
use postrider_kafka::{Codec, DlqRecord, Headers, Outgoing, partition_for_key};
use postrider_testkit::Behaviour;
use serde_json::json;
use tokio::task::JoinSet;

use super::command::replay;
use crate::support::{Context, Deployment, Hook, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_redrive_of_one_error_class_delivers_as_many_as_its_dry_run_counted_and_none_twice,
        what_still_fails_is_not_redriven_for_ever,
    ]
}

/// Of a deployment under test.
const PARTITIONS: i32 = 3;
const CLASSES: [ErrorClass; 4] = [ErrorClass::Timeout, ErrorClass::Tls, ErrorClass::Dns, ErrorClass::HttpServerError];

fn letter(tenant: &str, endpoint: &str, number: usize, error: ErrorClass, at: Timestamp) -> DeadLetter {
    DeadLetter {
        delivery: Delivery {
            message_id: MessageId::from_trusted(format!("msg_{number:026}")),
            run: Run::LIVE,
            kind: DeliveryKind::Live,
            event_id: EventId::from_trusted(format!("6:events{number}")),
            tenant: TenantId::from_trusted(tenant),
            endpoint: EndpointId::from_trusted(endpoint),
            subscription: SubscriptionId::from_trusted("sub_01hzzzzzzzzzzzzzzzzzzzzzzz"),
            event_type: "order.created".to_owned(),
            ordering_key: None,
            source: SourceCoordinates { topic: "gone".into(), partition: 0, offset: 0 },
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: Bytes::from(format!(r#"{{"data":{number}}}"#)),
            method: Method::Post,
            path_suffix: String::new(),
        },
        attempts: 3,
        error,
        error_message: None,
        last_status: None,
        response_excerpt: None,
        matched_at: at,
        first_attempt_at: Some(at),
        at,
        traceparent: None,
    }
}

/// Writes `count` dead letters, their classes in turn.
pub async fn fill(deployment: &Deployment, tenant: &str, endpoint: &str, count: usize, classes: &[ErrorClass]) {
    let (codec, dlq) = (Codec::new(), deployment.topics.dlq());
    let now = deployment.producer().clock().now();
    let mut writing = JoinSet::new();
    for number in 0..count {
        let letter = letter(tenant, endpoint, number, classes[number % classes.len()], now);
        let record = Outgoing {
            topic: dlq.as_str().into(),
            partition: Some(partition_for_key(endpoint, PARTITIONS)),
            key: Bytes::copy_from_slice(endpoint.as_bytes()),
            value: Some(codec.encode(&letter)),
            headers: Headers::new(),
        };
        let producer = deployment.producer();
        writing.spawn(async move { producer.send(&record).await.unwrap() });
    }
    writing.join_all().await;
}

async fn a_redrive_of_one_error_class_delivers_as_many_as_its_dry_run_counted_and_none_twice(context: Context) {
    const ENTRIES: usize = 10_000;
    let deployment = Deployment::start(&context, "redrive").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/again", json!({})).await;
    deployment.synced().await;
    fill(&deployment, &tenant.id, &hook.id, ENTRIES, &CLASSES).await;
    let wanted = ENTRIES / CLASSES.len();

    let (code, job) = replay(&deployment, &["dead-letters", "--error", "timeout", "--dry-run"]).await;
    assert_eq!((code, &job["progress"]["matched"], &job["progress"]["sent"]), (0, &json!(wanted), &json!(0)), "{job}");
    assert_eq!(job["progress"]["sample"][0]["error"], "timeout");
    assert_eq!(hook.count(), 0);

    let redrive = ["dead-letters", "--error", "timeout", "--rate", "5000"];
    let (code, job) = replay(&deployment, &redrive).await;
    assert_eq!(
        (code, &job["progress"]["state"], &job["progress"]["sent"]),
        (0, &json!("done"), &json!(wanted)),
        "{job}"
    );
    hook.wait_for(wanted).await;
    assert_eq!(receiver.webhook_ids("/again").len(), wanted, "each once, under its own id");

    let (_, job) = replay(&deployment, &redrive).await;
    assert_eq!((&job["progress"]["matched"], &job["progress"]["sent"]), (&json!(0), &json!(0)), "{job}");
    assert_eq!(hook.count(), wanted);
}

async fn what_still_fails_is_not_redriven_for_ever(context: Context) {
    const ENTRIES: usize = 50;
    let deployment = Deployment::start(&context, "redrive-failing").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/failing", json!({"retry": {"delays_seconds": []}})).await;
    receiver.behave("/failing", Behaviour::Always(404));
    deployment.synced().await;
    fill(&deployment, &tenant.id, &hook.id, ENTRIES, &[ErrorClass::Timeout]).await;

    let (_, job) = replay(&deployment, &["dead-letters", "--endpoint", &hook.id, "--rate", "1000"]).await;
    assert_eq!((&job["progress"]["state"], &job["progress"]["sent"]), (&json!("done"), &json!(ENTRIES)), "{job}");
    hook.wait_for(ENTRIES).await;
    // They are dead letters again, each of its replay's run.
    let dlq = deployment.read(&deployment.topics.dlq());
    let codec = Codec::new();
    let again = |record: &postrider_kafka::Record| match DlqRecord::decode(&codec, record.value.as_ref().unwrap()) {
        Ok(DlqRecord::Letter(letter)) => letter.delivery.run != Run::LIVE,
        _ => false,
    };
    dlq.wait_for(ENTRIES, LIMIT, again).await;
    // Nothing may come of that: as long as it took to send them all, and longer.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hook.count(), ENTRIES);
}
