//! Internal records that can't be read: bytes that are corrupt are rejected, a schema that is not known is waited for.

use bytes::Bytes;
use postrider_kafka::{Headers, Outgoing, Record, partition_for_key};
use postrider_testkit::{Received, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Context, Deployment, Hook, LIMIT, Tenant, Test, canonical_fingerprint, event, hex, record, tests,
};

pub fn tests() -> Vec<Test> {
    tests![
        a_corrupt_internal_record_is_rejected_and_its_partition_goes_on,
        a_record_of_an_unknown_schema_is_held_until_the_schema_is_published
    ]
}

/// A record of the deliveries topic, as the matcher wrote one for this event.
async fn matched(deployment: &Deployment, tenant: &Tenant, hook: &Hook<'_>, id: &str) -> Record {
    let topic = deployment.read(&deployment.topics.deliveries());
    deployment.write(&event(deployment, tenant, id, "order.created", &json!(id))).await;
    hook.wait_for(1).await;
    topic.wait_for(1, LIMIT, |record| record.key_str() == Some(&hook.id)).await.remove(0)
}

fn delivery(deployment: &Deployment, like: &Record, value: Bytes, headers: Headers) -> Outgoing {
    Outgoing {
        topic: deployment.topics.deliveries().into(),
        partition: Some(like.partition),
        key: like.key.clone().unwrap(),
        value: Some(value),
        headers,
    }
}

async fn a_corrupt_internal_record_is_rejected_and_its_partition_goes_on(context: Context) {
    let deployment = Deployment::start(&context, "corrupt").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    deployment.synced().await;
    let good = matched(&deployment, &tenant, &hook, "1").await;
    assert_eq!(good.partition, partition_for_key(&hook.id, 3), "murmur2 of the endpoint's id");

    let value = good.value.clone().unwrap();
    let cut = value.slice(..value.len() / 2);
    let bad = [
        (Bytes::from_static(b"garbage"), good.headers.clone()),
        (cut, good.headers.clone()),
        (value.clone(), Headers::new()),
    ];
    for (value, headers) in bad.clone() {
        deployment.write(&delivery(&deployment, &good, value, headers)).await;
    }
    // In a tier as well, where only the headers are read.
    let tier = format!("{}.retry.1s", deployment.topics.prefix());
    deployment.write(&record(&tier, &hook.id, value, &[("pr-attempt", "none")])).await;
    // And where others read.
    let topics = &deployment.topics;
    let elsewhere = [topics.delivery_events(), topics.endpoint_state(), topics.overrides(), topics.jobs()];
    for topic in &elsewhere {
        deployment.write(&record(topic, "nobody", format!("garbage for {topic}"), &[])).await;
    }
    deployment.write(&event(&deployment, &tenant, "2", "order.created", &json!("2"))).await;

    hook.wait_for(2).await;
    tenant.delivery(&hook.message_id("2"), "delivered").await;
    let rejected = deployment.read(&deployment.topics.rejected());
    for topic in &elsewhere {
        // The dispatcher and the projector read the states of endpoints, and each rejects what it can't read.
        let value = format!("garbage for {topic}");
        let of_it = |record: &Record| record.headers.get_str("pr-source-topic") == Some(topic);
        let kept = rejected.wait_for(1, LIMIT, of_it).await;
        assert!(kept.iter().all(|record| record.value.as_deref() == Some(value.as_bytes())), "{topic}");
    }
    let topics = [topics.deliveries(), tier.clone()];
    let ours = |record: &Record| topics.iter().any(|topic| record.headers.get_str("pr-source-topic") == Some(topic));
    let rejected = rejected.wait_for(4, LIMIT, ours).await;
    for (value, _) in bad {
        assert!(rejected.iter().any(|record| record.value.as_ref() == Some(&value)), "its bytes are kept");
    }
    assert!(rejected.iter().all(|record| record.headers.get_str("pr-reason") == Some("corrupt")));
    let topics: Vec<_> = rejected.iter().filter_map(|record| record.headers.get_str("pr-source-topic")).collect();
    assert!(topics.contains(&tier.as_str()) && topics.contains(&deployment.topics.deliveries().as_str()));
    assert_eq!(hook.count(), 2, "nothing else was sent");
}

async fn a_record_of_an_unknown_schema_is_held_until_the_schema_is_published(context: Context) {
    let deployment = Deployment::start(&context, "schema").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    let other = other_partition(&tenant, &receiver, &hook).await;
    deployment.synced().await;
    let known = matched(&deployment, &tenant, &hook, "1").await;
    other.wait_for(1).await;

    // A newer version writes one more field, of which this binary knows nothing.
    let mut schema: Value = serde_json::from_str(include_str!("../../../../../schemas/delivery.avsc")).unwrap();
    let ours = known.value.clone().unwrap();
    assert_eq!(ours[2..10], canonical_fingerprint(&schema), "the fingerprint is what the specification says");
    schema["fields"].as_array_mut().unwrap().push(json!({"name": "later", "type": "long", "default": 0}));
    let fingerprint = canonical_fingerprint(&schema);
    let value = [&ours[..2], &fingerprint[..], &ours[10..], &[0][..]].concat();
    deployment.write(&delivery(&deployment, &known, value.into(), known.headers.clone())).await;
    deployment.write(&event(&deployment, &tenant, "2", "order.created", &json!("2"))).await;

    eventually(LIMIT, "the dispatcher to say what it waits for", async || {
        let (status, report) = deployment.readiness().await;
        let named = report.to_string().contains(&hex(&fingerprint));
        (status == StatusCode::SERVICE_UNAVAILABLE && named).then_some(())
    })
    .await;
    // Other partitions go on; this one holds, and nothing is rejected.
    other.wait_for(2).await;
    assert_eq!(hook.count(), 1, "the partition did not hold");

    let key = format!("schema:{}", hex(&fingerprint));
    deployment.write(&record(&deployment.topics.layout(), &key, schema.to_string(), &[])).await;
    let received = hook.wait_for(3).await;
    let mut ids: Vec<&str> = received.iter().map(Received::webhook_id).collect();
    ids.sort_unstable();
    let mut expected = [hook.message_id("1"), hook.message_id("1"), hook.message_id("2")];
    expected.sort_unstable();
    assert_eq!(ids, expected, "the record that was held, and what came after it");
    eventually(LIMIT, "everything to be ready again", async || {
        (deployment.readiness().await.0 == StatusCode::OK).then_some(())
    })
    .await;
}

/// An endpoint of the same tenant in another partition.
async fn other_partition<'a>(tenant: &Tenant, receiver: &'a postrider_testkit::Receiver, hook: &Hook<'_>) -> Hook<'a> {
    let partition = partition_for_key(&hook.id, 3);
    for number in 0..50 {
        let path = format!("/other/{number}");
        let other = Hook::create(tenant, receiver, &path, json!({})).await;
        if partition_for_key(&other.id, 3) != partition {
            return other;
        }
        tenant.api.delete(&format!("/v1/endpoints/{}", other.id)).await.unwrap();
    }
    panic!("fifty endpoints in one partition");
}
