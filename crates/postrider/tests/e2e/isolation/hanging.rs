//! An endpoint that hangs: its lane fills up and what comes for it is parked, while its neighbours go on.

use std::time::Duration;

use postrider_kafka::Record;
use postrider_testkit::{Behaviour, eventually};
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![a_full_lane_parks_without_spending_an_attempt_and_its_neighbour_goes_on]
}

/// One partition, so that both endpoints share it; a lane that is full after a few.
const CONFIGURATION: &str = r#"
[topics]
partitions = 1
[retry]
tiers = ["1s", "2s"]
[dispatcher]
max_queued_per_lane = 4
lane_concurrency = 8
park_after = "500ms"
"#;

async fn a_full_lane_parks_without_spending_an_attempt_and_its_neighbour_goes_on(context: Context) {
    const EVENTS: usize = 20;
    let deployment = Deployment::with(&context, "lane", CONFIGURATION).await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let slow = json!({"event_types": ["slow"], "timeout_ms": 8_000, "retry": {"delays_seconds": []}});
    let hanging = Hook::create(&tenant, &receiver, "/hanging", slow).await;
    let healthy = Hook::create(&tenant, &receiver, "/healthy", json!({"event_types": ["fast"]})).await;
    receiver.behave("/hanging", Behaviour::Hang);
    deployment.synced().await;

    let write = async |event_type: &str, number: usize| {
        let id = format!("{event_type}-{number}");
        deployment.write(&event(&deployment, &tenant, &id, event_type, &json!(number))).await;
    };
    // Two in flight, and four that fill the lane, which does not move.
    for number in 0..6 {
        write("slow", number).await;
    }
    let first = hanging.wait_for(2).await.remove(0);
    eventually(LIMIT, "the lane to have stood still", async || {
        (postrider_control::clock::now().since(first.at) > Duration::from_secs(1)).then_some(())
    })
    .await;
    for number in 6..EVENTS {
        write("slow", number).await;
    }
    for number in 0..EVENTS {
        write("fast", number).await;
    }
    let written = postrider_control::clock::now();
    let received = healthy.wait_for(EVENTS).await;
    let late = received.last().unwrap().at.since(written);
    assert!(late < Duration::from_secs(4), "the neighbour waited {late:?} for an endpoint that hangs for 8 s");
    assert_eq!(hanging.count(), 2, "no more requests at once than the lane's concurrency");

    // What did not fit is parked, and its first attempt is still to come.
    let tier = deployment.read(&format!("{}.retry.2s", deployment.topics.prefix()));
    let parked = tier.wait_for(EVENTS - 2 - 4, LIMIT, |_| true).await;
    for record in &parked {
        assert_eq!(record.key_str(), Some(hanging.id.as_str()));
        assert_eq!(attempt(record), Some("1"), "parking spent an attempt");
    }
    let waiting = tenant.deliveries(&format!("endpoint_id={}&status=waiting", hanging.id), 1).await;
    assert_eq!(waiting[0]["attempt"], 1, "{:#}", waiting[0]);

    // Once it answers again, everything arrives.
    receiver.behave("/hanging", Behaviour::Ok(200));
    let deadline = Duration::from_mins(1);
    let received = receiver.wait_for("/hanging", EVENTS, deadline).await;
    assert!(received.iter().all(|request| request.webhook_id().starts_with("msg_")));
    let delivered = tenant.deliveries(&format!("endpoint_id={}&status=delivered", hanging.id), EVENTS - 2).await;
    assert!(delivered.iter().all(|delivery| delivery["attempt"] == 1), "{delivered:#?}");
}

fn attempt(record: &Record) -> Option<&str> {
    record.headers.get_str("pr-attempt")
}
