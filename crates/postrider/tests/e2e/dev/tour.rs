//! What one does first: start it, make an endpoint, write an event, stop it.

use std::time::Duration;

use postrider_kafka::{BrokerClock, KafkaConfig, Producer};
use postrider_testkit::{ApiClient, Behaviour, PostriderCommand, PostriderProcess, Receiver, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Hook, LIMIT, Tenant, Test, binary, record, tests};

pub fn tests() -> Vec<Test> {
    tests![it_starts_with_nothing_else_delivers_an_event_and_stops]
}

async fn it_starts_with_nothing_else_delivers_an_event_and_stops(_: Context) {
    let command = PostriderCommand {
        program: binary(),
        arguments: ["dev", "--output", "json"].map(str::to_owned).into(),
        config: String::new(),
        environment: Vec::new(),
    };
    let mut process = PostriderProcess::start(&command).unwrap();
    let sample = eventually(LIMIT, "dev to say where everything is", async || {
        process
            .output()
            .lines()
            .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|it| it["kafka"].is_string()))
    })
    .await;
    let text = |field: &str| sample[field].as_str().unwrap_or_else(|| panic!("no {field}: {sample}")).to_owned();
    let api = ApiClient::new(&text("api"), &text("tenant_key"));
    let tenant = Tenant { id: text("tenant"), key: text("tenant_key"), api };
    let (status, _) = tenant.api.get("/readyz").await.unwrap();
    assert_eq!(status, StatusCode::OK, "it is ready when it says so");
    assert_eq!(reqwest::get(text("docs")).await.unwrap().status(), StatusCode::OK);
    let tenants = tenant.api.with_key(&text("operator_key")).get("/v1/tenants").await.unwrap();
    assert_eq!(tenants.0, StatusCode::OK);

    // Plain HTTP on this machine is allowed here.
    let receiver = Receiver::start().unwrap();
    receiver.behave("/orders", Behaviour::FailTimes(1, 503));
    let retry = json!({"retry": {"delays_seconds": [1]}});
    let hook = Hook::create(&tenant, &receiver, "/orders", retry).await;
    let kafka = KafkaConfig::embedded(&text("kafka"), "e2e");
    let producer = Producer::new(&kafka, BrokerClock::new(true)).unwrap();
    // The first ones may come before the endpoint is known; who writes them does not wait for that.
    let mut number = 0;
    eventually(LIMIT, "a delivery", async || {
        number += 1;
        let value = json!({"id": number.to_string(), "type": "order.created", "tenant": tenant.id, "data": number});
        producer.send(&record(&text("topic"), "k", value.to_string(), &[])).await.unwrap();
        (hook.count() >= 2).then_some(())
    })
    .await;
    let received = hook.wait_for(2).await;
    let run = tenant.delivery(received[0].webhook_id(), "delivered").await;
    assert_eq!(run["attempts"].as_array().unwrap().len(), 2, "failed once, then tried again: {run:#}");

    let status = process.terminate(Duration::from_secs(20)).await.unwrap();
    assert!(status.success(), "it ended with {status}:\n{}", process.output());
}
