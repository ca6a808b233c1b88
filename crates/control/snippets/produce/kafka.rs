// cargo add rdkafka serde_json; tokio with its feature full. Run: KAFKA=broker:9092 cargo run
use std::time::Duration;

use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};

pub async fn publish(kafka: &str, topic: &str, tenant: &str) -> Result<(), Box<dyn std::error::Error>> {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", kafka).set("enable.idempotence", "true").create()?;
    let event = serde_json::json!({
        "type": "order.created",
        "tenant": tenant,
        "id": "order-1042-created", // the same id again leads to the same webhook-id
        "data": {"id": 1042, "total": 129.9},
    })
    .to_string();
    // One key is one partition: order.
    let record = FutureRecord::to(topic).key("order-1042").payload(&event);
    producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error)?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    publish(&text("KAFKA", "127.0.0.1:9092"), &text("TOPIC", "postrider.events"), &text("TENANT", "{{tenant}}")).await
}
