//! Events written with a Kafka client, in every format.

use postrider_kafka::Topics;
use postrider_testkit::Received;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, Tenant, Test, record, tests};

pub fn tests() -> Vec<Test> {
    tests![
        every_format_arrives_as_one_envelope,
        a_topic_of_ones_own_is_a_source_with_a_tenant,
        data_that_is_not_json_is_sent_as_it_is
    ]
}

const TIME: &str = "2026-01-31T12:00:00.000Z";

/// The same event in each format, with data that a re-serialisation would change.
const DATA: &str = r#"{ "total": 1.10, "big": 12345678901234567890123, "b":1,"a":2, "é": "\u00e9" }"#;

async fn every_format_arrives_as_one_envelope(context: Context) {
    let deployment = Deployment::start(&context, "formats").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    deployment.synced().await;

    let topic = deployment.topics.events();
    let Tenant { id, .. } = &tenant;
    let plain = format!(r#"{{"id":"1","type":"order.created","tenant":"{id}","timestamp":"{TIME}","data":{DATA}}}"#);
    deployment.write(&record(&topic, "k", plain, &[])).await;
    let headers_only = format!(r#"{{"timestamp":"{TIME}","data":{DATA}}}"#);
    let headers = [("type", "order.created"), ("tenant", id.as_str()), ("id", "2")];
    deployment.write(&record(&topic, "k", headers_only, &headers)).await;
    let binary = [
        ("ce_specversion", "1.0"),
        ("ce_id", "3"),
        ("ce_source", "/shop"),
        ("ce_type", "order.created"),
        ("ce_time", TIME),
        ("ce_tenant", id.as_str()),
        ("content-type", "application/json"),
    ];
    deployment.write(&record(&topic, "k", DATA, &binary)).await;
    let structured = format!(
        r#"{{"specversion":"1.0","id":"4","source":"/shop","type":"order.created","time":"{TIME}","tenant":"{id}","data":{DATA}}}"#
    );
    let content_type = [("content-type", "application/cloudevents+json; charset=utf-8")];
    deployment.write(&record(&topic, "k", structured.clone(), &content_type)).await;

    let received = hook.wait_for(4).await;
    let expected = format!(r#"{{"type":"order.created","timestamp":"{TIME}","data":{DATA}}}"#);
    for request in &received {
        assert_eq!(request.body, expected.as_bytes(), "{}", String::from_utf8_lossy(&request.body));
        assert_eq!(request.method, "POST");
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("user-agent").starts_with("Postrider/"), "{request:?}");
    }
    let ids: std::collections::BTreeSet<_> = received.iter().map(Received::webhook_id).collect();
    assert_eq!(ids.len(), 4, "four events have four webhook-ids: {ids:?}");

    // The same event once more: the same webhook-id, so that the receiver can drop it.
    deployment.write(&record(&topic, "other key", structured, &content_type)).await;
    let again = hook.wait_for(5).await;
    assert!(ids.contains(again[4].webhook_id()), "{again:?}");
}

async fn a_topic_of_ones_own_is_a_source_with_a_tenant(context: Context) {
    let mut deployment = Deployment::prepare(&context, "source", "").await;
    let topic = format!("{}.shop.orders", deployment.topics.prefix());
    let mut spec = Topics::new("x").specs(&postrider_domain::tier::Tiers::default()).remove(2);
    spec.name.clone_from(&topic);
    deployment.create_topic(spec, 2).await;
    // The tenant has to exist before its id can be configured.
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/shop", json!({"event_types": ["shop.*"]})).await;
    deployment.terminate().await;
    deployment.settings = deployment.settings.with(&format!(
        "[[sources]]\nname = \"shop\"\ntopic = \"{topic}\"\nformat = \"json\"\ntenant = \"{}\"",
        tenant.id
    ));
    deployment.start_all().await;

    deployment.write(&record(&topic, "k", r#"{"type":"shop.opened","data":7}"#, &[])).await;
    deployment.write(&record(&topic, "k", r#"{"type":"other","data":8}"#, &[])).await;
    deployment.write(&record(&topic, "k", r#"{"type":"shop.closed","data":9}"#, &[])).await;
    hook.wait_for(2).await;
    let mut data = hook.data();
    data.sort_by_key(ToString::to_string);
    assert_eq!(data, [Value::from(7), Value::from(9)]);
}

async fn data_that_is_not_json_is_sent_as_it_is(context: Context) {
    let deployment = Deployment::start(&context, "bytes").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/bytes", json!({})).await;
    deployment.synced().await;

    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "/export"),
        ("ce_type", "export.done"),
        ("ce_tenant", tenant.id.as_str()),
        ("content-type", "text/csv"),
    ];
    let bytes = "order;total\n1;1.10\n".as_bytes();
    deployment.write(&record(&deployment.topics.events(), "k", bytes, &headers)).await;
    let received = hook.wait_for(1).await;
    assert_eq!(received[0].body, bytes);
    assert_eq!(received[0].header("content-type"), "text/csv");
}
