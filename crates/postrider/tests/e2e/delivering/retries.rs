//! Failed deliveries are tried again: through the tiers in order, under one webhook-id, until they succeed.

use std::time::Duration;

use postrider_kafka::Record;
use postrider_testkit::Behaviour;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![a_failing_delivery_passes_the_tiers_in_order_and_recovers, retry_after_is_honoured]
}

async fn a_failing_delivery_passes_the_tiers_in_order_and_recovers(context: Context) {
    let deployment = Deployment::start(&context, "tiers").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/orders", json!({"retry": {"delays_seconds": [1, 2, 5]}})).await;
    receiver.behave("/orders", Behaviour::FailTimes(3, 503));
    deployment.synced().await;

    let sent = event(&deployment, &tenant, "1", "order.created", &json!({"total": 1.10}));
    deployment.write(&sent).await;
    let received = hook.wait_for(4).await;
    for request in &received {
        assert_eq!(request.webhook_id(), hook.message_id("1"), "the webhook-id is the same over retries");
        assert_eq!(request.body, received[0].body, "the body is rendered once");
    }
    for (pair, delay) in received.windows(2).zip([1.0, 2.0, 5.0]) {
        let pause = pair[1].at.since(pair[0].at).as_secs_f64();
        assert!((delay * 0.85..delay * 1.1 + 3.0).contains(&pause), "waited {pause} s instead of {delay} s");
    }

    // Each hop stands in its tier's topic, with the number of the attempt that follows, its value untouched.
    let deliveries = deployment.read(&deployment.topics.deliveries());
    let first = deliveries.wait_for(4, LIMIT, |_| true).await;
    for (tier, attempt) in [("1s", "2"), ("2s", "3"), ("5s", "4")] {
        let topic = deployment.read(&format!("{}.retry.{tier}", deployment.topics.prefix()));
        let records = topic.wait_for(1, LIMIT, |record: &Record| record.headers.get_str("pr-attempt") == Some(attempt));
        let records = records.await;
        assert_eq!(records[0].value, first[0].value, "forwarded byte for byte");
        assert_eq!(records[0].key_str(), Some(hook.id.as_str()));
        assert!(records[0].headers.get("pr-not-before").is_some());
    }

    let run = tenant.delivery(&hook.message_id("1"), "delivered").await;
    assert_eq!(run["delivery"]["attempt"], 4);
    let attempts: Vec<(Value, Value, Value)> = run["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| (attempt["number"].clone(), attempt["status"].clone(), attempt["error"].clone()))
        .collect();
    let failed = |number: i64| (json!(number), json!(503), json!("http_server_error"));
    assert_eq!(attempts, [failed(1), failed(2), failed(3), (json!(4), json!(200), Value::Null)]);
}

async fn retry_after_is_honoured(context: Context) {
    let deployment = Deployment::start(&context, "retry-after").await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let retry = json!({"retry": {"delays_seconds": [1]}});
    let slower = Hook::create(&tenant, &receiver, "/slower", retry.clone()).await;
    let dated = Hook::create(&tenant, &receiver, "/dated", json!({"retry": {"delays_seconds": [600]}})).await;
    receiver.behave("/slower", Behaviour::RetryAfter(429, "4".into()));
    deployment.synced().await;

    // A date says the same; here it says less than the policy would wait.
    let date = httpdate_in(Duration::from_secs(3));
    receiver.behave("/dated", Behaviour::RetryAfter(503, date));
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!(1))).await;
    let received = slower.wait_for(2).await;
    let pause = received[1].at.since(received[0].at);
    assert!((Duration::from_millis(3_600)..Duration::from_secs(9)).contains(&pause), "429 with 4 s: {pause:?}");
    let received = dated.wait_for(2).await;
    let pause = received[1].at.since(received[0].at);
    assert!(pause < Duration::from_secs(15), "503 with a date 3 s away: {pause:?}");
    let run = tenant.delivery(&slower.message_id("1"), "delivered").await;
    assert_eq!(run["attempts"][0]["error"], "rate_limited");
}

/// The time `after` from now, as HTTP writes it.
fn httpdate_in(after: Duration) -> String {
    let at = postrider_control::clock::now() + after;
    let text = at.to_rfc3339(); // 2026-01-31T12:00:00.000Z
    let (date, time) = (&text[..10], &text[11..19]);
    let [year, month, day] = date.split('-').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number: usize = month.parse().unwrap();
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let weekday = days[usize::try_from(at.as_seconds() / 86_400 % 7).unwrap()];
    format!("{weekday}, {day} {} {year} {time} GMT", months[number - 1])
}
