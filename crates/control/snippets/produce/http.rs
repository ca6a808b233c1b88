// cargo add reqwest --features json; serde_json; tokio with its feature full. Run: POSTRIDER_API_KEY=pr_… cargo run
pub async fn publish(api: &str, key: &str) -> Result<String, Box<dyn std::error::Error>> {
    let event = serde_json::json!({
        "type": "order.created",
        "id": "order-1042-created", // the same id again leads to the same webhook-id
        "subject": "order-1042",
        "data": {"id": 1042, "total": 129.9},
    });
    let url = format!("{api}/v1/events");
    let response = reqwest::Client::new().post(url).bearer_auth(key).json(&event).send().await?;
    let status = response.status();
    let answer = response.text().await?;
    // 202: Kafka has it. After a 503 or no answer at all, send the same event again.
    if status == 202 { Ok(answer) } else { Err(format!("{status}: {answer}").into()) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let api = std::env::var("POSTRIDER_URL").unwrap_or_else(|_| "{{api}}".to_owned());
    println!("{}", publish(&api, &std::env::var("POSTRIDER_API_KEY")?).await?);
    Ok(())
}
