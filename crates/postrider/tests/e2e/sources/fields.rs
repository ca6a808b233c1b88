//! Sources whose records have the parts of their events in different places.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, process::Stdio};

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::create_topic;
use crate::support::{Context, Deployment, Hook, Test, record, tests};

pub fn tests() -> Vec<Test> {
    tests![
        each_source_has_its_own_places,
        a_batch_is_one_delivery_for_each_of_its_events,
        a_header_whose_name_is_no_text_stops_nobody,
    ]
}

const SOURCES: &str = r#"
[[sources]]
name = "changes"
topic = "TOPIC.changes"
format = "json"
fields.type = { header = "event-type" }
fields.id = { pointer = "/meta/id" }
fields.time = { pointer = "/meta/ts" }
fields.tenant = { header = "org" }
fields.previous = { pointer = "/before" }
fields.payload = { pointer = "/after" }

[[sources]]
name = "legacy"
topic = "TOPIC.legacy"
fields.type = { constant = "legacy.record" }
fields.time = { timestamp = true }
fields.tenant = { pointer = "/owner/0" }
fields.subject = { key = true }
fields.payload = { pointer = "" }
"#;

async fn each_source_has_its_own_places(context: Context) {
    let mut deployment = Deployment::prepare(&context, "fields", "").await;
    let prefix = deployment.topics.prefix().to_owned();
    let (changes, legacy) = (format!("{prefix}.changes"), format!("{prefix}.legacy"));
    create_topic(&deployment, &changes, 1).await;
    create_topic(&deployment, &legacy, 1).await;
    deployment.settings = deployment.settings.with(&SOURCES.replace("TOPIC", &prefix));
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let filter = json!({"all": [{"field": "data.status", "operator": "changed"}]});
    let changed = json!({"subscriptions": [{"event_types": ["customer.*"], "filter": filter}]});
    let hook = Hook::create(&tenant, &receiver, "/changes", changed).await;
    let subject = json!({"all": [{"field": "subject", "operator": "equals", "value": "c-7"}]});
    let of_subject = json!({"subscriptions": [{"event_types": ["legacy.*"], "filter": subject}]});
    let old = Hook::create(&tenant, &receiver, "/legacy", of_subject).await;
    deployment.synced().await;

    let headers = [("event-type", "customer.changed"), ("org", tenant.id.as_str())];
    for (id, before, after) in [(1, "new", "new"), (2, "new", "won")] {
        let value = format!(
            r#"{{"meta":{{"id":{id},"ts":1700000000123}},"before":{{"status":"{before}"}},"after":{{ "status":"{after}", "n":1.10}}}}"#
        );
        deployment.write(&record(&changes, "k", value, &headers)).await;
    }
    let value = format!(r#"{{ "owner": ["{}"], "type": 7, "big": 12345678901234567890123 }}"#, tenant.id);
    deployment.write(&record(&legacy, "c-8", value.clone(), &[])).await;
    deployment.write(&record(&legacy, "c-7", value.clone(), &[])).await;

    let received = hook.wait_for(1).await;
    let expected =
        r#"{"type":"customer.changed","timestamp":"2023-11-14T22:13:20.123Z","data":{ "status":"won", "n":1.10}}"#;
    assert_eq!(received[0].body, expected.as_bytes(), "{}", String::from_utf8_lossy(&received[0].body));
    let received = old.wait_for(1).await;
    let body = String::from_utf8(received[0].body.to_vec()).unwrap();
    assert!(body.starts_with(r#"{"type":"legacy.record","timestamp":"20"#), "{body}");
    assert!(body.ends_with(&format!(r#","data":{value}}}"#)), "{body}");
    assert_eq!((hook.count(), old.count()), (1, 1));
}

async fn a_batch_is_one_delivery_for_each_of_its_events(context: Context) {
    let deployment = Deployment::start(&context, "batch").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/batch", json!({})).await;
    deployment.synced().await;
    let event = |id: u32| json!({"specversion": "1.0", "id": id.to_string(), "source": "/", "type": "a.b", "tenant": tenant.id, "data": id});
    let batch = json!((0..20).map(event).collect::<Vec<_>>()).to_string();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    deployment.write(&record(&deployment.topics.events(), "k", batch, &headers)).await;
    let received = hook.wait_for(20).await;
    let ids: std::collections::BTreeSet<_> = received.iter().map(postrider_testkit::Received::webhook_id).collect();
    assert_eq!(ids.len(), 20);
    let mut data: Vec<u64> = hook.data().iter().filter_map(serde_json::Value::as_u64).collect();
    data.sort_unstable();
    assert_eq!(data, (0..20).collect::<Vec<u64>>());
}

async fn a_header_whose_name_is_no_text_stops_nobody(context: Context) {
    let deployment = Deployment::start(&context, "header-names").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    deployment.synced().await;
    // Our own client writes no such header.
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", &context.environment.bootstrap_servers().await, "-t", &deployment.topics.events()])
        .args([OsStr::new("-H"), OsStr::from_bytes(b"\xff\xfe=1"), OsStr::new("-H"), OsStr::new("type=a.b")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let value = json!({"tenant": tenant.id, "data": 1}).to_string();
    kcat.stdin.take().unwrap().write_all(value.as_bytes()).await.unwrap();
    assert!(kcat.wait().await.unwrap().success());
    hook.wait_for(1).await;
    tenant.publish(&json!({"type": "a.b", "data": 2})).await;
    hook.wait_for(2).await;
    let mut data = hook.data();
    data.sort_by_key(serde_json::Value::as_u64);
    assert_eq!(data, [json!(1), json!(2)]);
}
