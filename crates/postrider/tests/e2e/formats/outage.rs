//! A registry that does not answer, and schemas that it does not have.

use std::net::Ipv4Addr;

use postrider_testkit::{eventually, free_port};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::{create_topic, produce};
use crate::support::{Context, Deployment, Hook, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![a_partition_waits_for_a_registry_that_is_down_and_rejects_what_it_does_not_know]
}

/// An id that the registry never gave.
const UNKNOWN: &str = "1000000007";

async fn a_partition_waits_for_a_registry_that_is_down_and_rejects_what_it_does_not_know(context: Context) {
    let mut deployment = Deployment::prepare(&context, "registry-down", "").await;
    let topic = create_topic(&deployment, "desk").await;
    let registry = context.environment.registry().await;
    // Where Postrider looks for the registry, nobody listens yet.
    let port = free_port().unwrap();
    let seen_at = registry.url().replace(&registry.address(), &format!("127.0.0.1:{port}"));
    deployment.settings = deployment.settings.with(&format!(
        "[schema_registry]\nurl = \"{seen_at}\"\n\
         [[sources]]\nname = \"desk\"\ntopic = \"{topic}\"\nformat = \"avro\""
    ));
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/desk", json!({})).await;
    deployment.synced().await;

    let url = registry.url();
    produce(&context, "one_order.py", &topic, &tenant.id, &[("REGISTRY", &url), ("ORDER", "1")]).await;
    eventually(LIMIT, "readiness to say that the registry is down", async || {
        let (status, report) = deployment.readiness().await;
        (status == StatusCode::SERVICE_UNAVAILABLE && report.to_string().contains("schema registry")).then_some(())
    })
    .await;
    assert_eq!(deployment.metric("postrider_schema_registry_up").await, Some(0.0));
    assert_eq!(deployment.metric("postrider_source_waiting_partitions").await, Some(1.0));
    // Only what needs a schema waits.
    tenant.publish(&json!({"type": "other", "data": "needs no schema"})).await;
    hook.wait_for(1).await;
    assert_eq!(hook.data(), [json!("needs no schema")]);

    let forwarder = tokio::spawn(forward(port, registry.address()));
    hook.wait_for(2).await;
    assert_eq!(hook.data()[1], json!({"id": 1}));
    eventually(LIMIT, "the process to be ready again", async || {
        (deployment.readiness().await.0 == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(deployment.metric("postrider_schema_registry_up").await, Some(1.0));
    assert_eq!(deployment.metric("postrider_source_waiting_partitions").await, Some(0.0));

    let unknown = [("REGISTRY", &*url), ("ORDER", "2"), ("UNKNOWN_SCHEMA", UNKNOWN)];
    produce(&context, "one_order.py", &topic, &tenant.id, &unknown).await;
    hook.wait_for(3).await;
    assert_eq!(hook.data()[2], json!({"id": 2}), "what comes behind goes on");
    let rejected = deployment.read(&deployment.topics.rejected()).wait_for(1, LIMIT, |_| true).await;
    let header = |name: &str| Value::from(rejected[0].headers.get_str(name));
    assert_eq!(header("pr-reason"), "undecodable");
    assert!(header("pr-message").as_str().unwrap().contains(UNKNOWN), "{}", header("pr-message"));
    assert_eq!(header("pr-source-topic"), topic.as_str());
    forwarder.abort();
}

/// Passes connections on, as if the registry listened at `port`.
async fn forward(port: u16, to: String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut here, _)) = listener.accept().await {
        let mut there = TcpStream::connect(&to).await.unwrap();
        connections.spawn(async move { tokio::io::copy_bidirectional(&mut here, &mut there).await });
    }
}
