//! Producers write events that are delivered.

use serde_json::{Value, json};

use super::{rust, toolchain::Program};
use crate::support::{Context, Deployment, Hook, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![what_producers_in_five_languages_write_is_delivered_under_its_own_id]
}

async fn what_producers_in_five_languages_write_is_delivered_under_its_own_id(context: Context) {
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
    let mut arrivals = Arrivals { hook: &hook, count: 0, over_http: None };
    for snippet in list["data"].as_array().unwrap() {
        if snippet["language"] != "Rust" {
            Program::of(snippet).await.run(&environment).await;
            arrivals.next(snippet["id"].as_str().unwrap()).await;
        }
    }
    assert_eq!(arrivals.count, 8, "two in each of the other languages");
    rust::http::publish(&url, &tenant.key).await.unwrap();
    arrivals.next("rust-http").await;
    rust::kafka::publish(&kafka, &topic, &tenant.id).await.unwrap();
    arrivals.next("rust-kafka").await;
}

/// What has arrived so far. Every snippet writes the same event; what comes over HTTP has a source of its own, and so
/// is another event than what is written to Kafka.
struct Arrivals<'a> {
    hook: &'a Hook<'a>,
    count: usize,
    over_http: Option<String>,
}

impl Arrivals<'_> {
    /// Waits for the next one, which is as a snippet wrote it.
    async fn next(&mut self, by: &str) {
        self.count += 1;
        let received = self.hook.wait_for(self.count).await;
        let last = received.last().unwrap();
        let id = last.webhook_id().to_owned();
        let expected = if by.ends_with("-http") {
            self.over_http.get_or_insert(id.clone()).clone()
        } else {
            self.hook.message_id("order-1042-created")
        };
        assert_eq!(id, expected, "{by}");
        let body: Value = serde_json::from_slice(&last.body).unwrap();
        assert_eq!(body["data"], json!({"id": 1042, "total": 129.9}), "{by}");
    }
}
