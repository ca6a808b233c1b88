//! From an event's write to its receipt, at a steady rate.

use std::collections::HashMap;
use std::time::Duration;

use postrider_domain::Timestamp;
use postrider_kafka::Outgoing;
use postrider_testkit::{Received, Receiver};
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
    // Without TLS: in a debug build, both of its ends would cost more than everything else.
    let deployment = Deployment::with(&context, "speed", "[egress]\nallow_http = true").await;
    let tenant = deployment.tenant().await;
    let receiver = Receiver::start().unwrap();
    let mut hooks = Vec::new();
    for number in 0..ENDPOINTS {
        let only = json!({"event_types": [format!("order.{number}")]});
        hooks.push(Hook::create(&tenant, &receiver, &format!("/{number}"), only).await);
    }
    deployment.synced().await;
    // Connections are made and groups have formed: what is measured is the road, not its opening.
    let topic = deployment.topics.events();
    for (number, hook) in hooks.iter().enumerate() {
        let value = json!({"type": format!("order.{number}"), "tenant": tenant.id, "data": {"number": -1}});
        deployment.write(&record(&topic, "warm-up", value.to_string(), &[])).await;
        hook.wait_for(1).await;
    }

    let records: Vec<Outgoing> = (0..EVENTS).map(|number| numbered(&topic, &tenant.id, number)).collect();
    let cpu_before = deployment.cpu_time();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut sends = JoinSet::new();
    let mut written: HashMap<u64, Timestamp> = HashMap::new();
    let begun = postrider_control::clock::now();
    for (number, record) in records.into_iter().enumerate() {
        pace.tick().await;
        let producer = deployment.producer();
        written.insert(number as u64, postrider_control::clock::now());
        sends.spawn(async move { producer.send(&record).await.unwrap() });
    }
    sends.join_all().await;
    let ended = postrider_control::clock::now();

    let mut latencies = Vec::with_capacity(EVENTS);
    for hook in &hooks {
        let received = hook.wait_for(EVENTS / ENDPOINTS + 1).await;
        assert_eq!(received.len(), EVENTS / ENDPOINTS + 1, "each once");
        for request in &received[1..] {
            latencies.push(request.at.since(written[&number_of(request)]));
        }
    }
    latencies.sort_unstable();
    let late = hooks.iter().flat_map(Hook::received).map(|request| request.at.since(ended)).max().unwrap_or_default();
    let parked = deployment.metric("postrider_parked_total").await.unwrap_or(0.0);
    let cpu = deployment.cpu_time().saturating_sub(cpu_before) / u32::try_from(EVENTS).unwrap();
    let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    println!(
        "speed: {EVENTS} events written in {:?}; write to receipt p50 {:?}, p99 {:?}, worst {:?}; the last came {late:?} late; {parked} parked; {cpu:?} of CPU each",
        ended.since(begun),
        percentile(50),
        percentile(99),
        percentile(100),
    );
    assert!(late < LATE, "the last delivery came {late:?} after the last event was written");
    assert!(ended.since(begun) < Duration::from_secs(12), "the test itself could not write 500 events a second");
}

fn numbered(topic: &str, tenant: &str, number: usize) -> Outgoing {
    let id = number.to_string();
    let event_type = format!("order.{}", number % ENDPOINTS);
    let value = json!({"id": id, "type": event_type, "tenant": tenant, "data": {"number": number, "total": 1.10}});
    record(topic, &id, value.to_string(), &[])
}

fn number_of(request: &Received) -> u64 {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["data"]["number"].as_u64().unwrap()
}
