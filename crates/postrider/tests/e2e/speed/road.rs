//! From an event's write to its receipt, at a steady rate.

use std::collections::HashMap;
use std::time::Duration;

use postrider_domain::Timestamp;
use postrider_testkit::Received;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Context, Deployment, Hook, Test, record, tests};

pub fn tests() -> Vec<Test> {
    tests![a_debug_build_holds_500_deliveries_a_second]
}

const EVENTS: usize = 5_000;
const PER_SECOND: u32 = 500;
/// Endpoints that share the events.
const ENDPOINTS: usize = 5;
/// How long after the last event was written the last one may arrive.
const LATE: Duration = Duration::from_secs(3);

async fn a_debug_build_holds_500_deliveries_a_second(context: Context) {
    let deployment = Deployment::start(&context, "speed").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let mut hooks = Vec::new();
    for number in 0..ENDPOINTS {
        let only = json!({"event_types": [format!("order.{number}")]});
        hooks.push(Hook::create(&tenant, &receiver, &format!("/{number}"), only).await);
    }
    deployment.synced().await;

    let topic = deployment.topics.events();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut sends = JoinSet::new();
    let mut written: HashMap<u64, Timestamp> = HashMap::new();
    let begun = postrider_control::clock::now();
    for number in 0..EVENTS {
        pace.tick().await;
        let id = number.to_string();
        let event_type = format!("order.{}", number % ENDPOINTS);
        let value =
            json!({"id": id, "type": event_type, "tenant": tenant.id, "data": {"number": number, "total": 1.10}});
        let record = record(&topic, &id, value.to_string(), &[]);
        let producer = deployment.producer();
        written.insert(number as u64, postrider_control::clock::now());
        sends.spawn(async move { producer.send(&record).await.unwrap() });
    }
    sends.join_all().await;
    let ended = postrider_control::clock::now();

    let mut latencies = Vec::with_capacity(EVENTS);
    for hook in &hooks {
        let received = hook.wait_for(EVENTS / ENDPOINTS).await;
        assert_eq!(received.len(), EVENTS / ENDPOINTS, "each once");
        for request in &received {
            assert!(request.at.since(ended) < LATE, "it came {:?} after the last was written", request.at.since(ended));
            latencies.push(request.at.since(written[&number_of(request)]));
        }
    }
    latencies.sort_unstable();
    let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    println!(
        "speed: {EVENTS} events written in {:?}; write to receipt p50 {:?}, p99 {:?}, worst {:?}",
        ended.since(begun),
        percentile(50),
        percentile(99),
        percentile(100),
    );
    assert!(ended.since(begun) < Duration::from_secs(12), "the test itself could not write 500 events a second");
}

fn number_of(request: &Received) -> u64 {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["data"]["number"].as_u64().unwrap()
}
