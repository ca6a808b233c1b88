//! Events as users' services write them: every format, by producers that are not ours (Python's `confluent-kafka` with
//! its Avro serializer, and the `cloudevents` package), with schemas in a real registry.

mod avro;
mod json;
mod outage;

use std::path::PathBuf;

use postrider_domain::tier::Tiers;
use postrider_kafka::Topics;
use postrider_testkit::{Received, run_python};

use crate::support::{Context, Deployment, Test};

/// Every test.
pub fn tests() -> Vec<Test> {
    [json::tests(), avro::tests(), outage::tests()].into_iter().flatten().collect()
}

/// Runs one of the producers in the folder beside this file.
async fn produce(context: &Context, program: &str, topic: &str, tenant: &str, more: &[(&str, &str)]) {
    let program = root().join("crates/postrider/tests/e2e/formats/producers").join(program);
    let brokers = context.environment.bootstrap_servers().await;
    let mut environment = vec![("BOOTSTRAP_SERVERS", &*brokers), ("TOPIC", topic), ("TENANT", tenant)];
    environment.extend(more);
    if let Err(error) = run_python(&program, &environment).await {
        panic!("{error:#}");
    }
}

/// Makes a topic of a user's, with one partition, so that its records have one order.
async fn create_topic(deployment: &Deployment, name: &str) -> String {
    let topic = format!("{}.{name}", deployment.topics.prefix());
    let mut spec = Topics::new("x").specs(&Tiers::default()).remove(2);
    spec.name.clone_from(&topic);
    deployment.create_topic(spec, 1).await;
    topic
}

/// The data of a delivered envelope, to the byte.
fn data(received: &Received) -> String {
    let body = String::from_utf8(received.body.to_vec()).unwrap();
    let (_, data) = body.split_once(r#","data":"#).unwrap_or_else(|| panic!("there is no data in {body}"));
    data.strip_suffix('}').unwrap().to_owned()
}

/// The type of a delivered envelope.
fn event_type(received: &Received) -> String {
    let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
    body["type"].as_str().unwrap().to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
