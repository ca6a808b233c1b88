//! Producers write events that are delivered.

use serde_json::{Value, json};

use super::{rust, toolchain::Program};
use crate::support::{Context, Deployment, Hook, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![what_producers_in_five_languages_write_is_delivered_under_one_id]
}

async fn what_producers_in_five_languages_write_is_delivered_under_one_id(context: Context) {
    let mut deployment = Deployment::start(&context, "produce").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({"event_types": ["order.created"]})).await;
    deployment.synced().await;

    let url = deployment.service().process.api_url();
    let kafka = context.environment.kafka().await.bootstrap_servers.clone();
    let topic = deployment.topics.events();
    let environment = [
        ("POSTRIDER_URL", url.as_str()),
        ("POSTRIDER_API_KEY", tenant.key.as_str()),
        ("KAFKA", kafka.as_str()),
        ("TENANT", tenant.id.as_str()),
        ("TOPIC", topic.as_str()),
    ];
    let path = format!("/v1/endpoints/{}/snippets?purpose=produce", hook.id);
    let (_, list) = tenant.api.get(&path).await.unwrap();
    let mut written = 0;
    for snippet in list["data"].as_array().unwrap() {
        if snippet["language"] == "Rust" {
            continue;
        }
        Program::of(snippet).await.run(&environment).await;
        written += 1;
        arrived(&hook, written, snippet["id"].as_str().unwrap()).await;
    }
    rust::http::publish(&url, &tenant.key).await.unwrap();
    arrived(&hook, written + 1, "rust-http").await;
    rust::kafka::publish(&kafka, &topic, &tenant.id).await.unwrap();
    arrived(&hook, written + 2, "rust-kafka").await;
    assert_eq!(written, 8, "two in each of the other languages");
}

/// The event of every snippet is the same one: so is its message.
async fn arrived(hook: &Hook<'_>, count: usize, by: &str) {
    let received = hook.wait_for(count).await;
    let last = received.last().unwrap();
    assert_eq!(last.webhook_id(), hook.message_id("order-1042-created"), "{by}");
    let body: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(body["data"], json!({"id": 1042, "total": 129.9}), "{by}");
}
