//! How long what is kept.

use std::time::Duration;

use postrider_control::clock;
use postrider_domain::{DeliveryKind, MessageId, Run, TenantId, Timestamp};
use postrider_postgres::{
    PgPool, connect,
    delivery_log::{self, DeliveryRow},
    retention::{self, Kept},
};
use postrider_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Test, tests};

pub fn tests() -> Vec<Test> {
    tests![partitions_are_there_ahead_and_what_is_past_its_time_goes_while_it_stays_counted]
}

const HOUR: Duration = Duration::from_hours(1);

/// Writes a delivery with its attempts once more, under another id, as of some time ago.
async fn write_as_of(pool: &PgPool, row: &DeliveryRow, message: &str, kind: DeliveryKind, ago: Duration) {
    let mut conn = pool.acquire().await.unwrap();
    let mut attempts = delivery_log::attempts_of(&mut conn, &row.tenant, &row.message_id).await.unwrap();
    let message_id = MessageId::from_trusted(message);
    for attempt in &mut attempts {
        attempt.message_id = message_id.clone();
        attempt.started_at = attempt.started_at - ago;
    }
    let row = DeliveryRow { message_id, kind, matched_at: row.matched_at - ago, ..row.clone() };
    delivery_log::insert_attempts(&mut conn, &attempts).await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, &[row]).await.unwrap();
}

/// The ends of the messages that are listed, the latest first.
fn listed(deliveries: &[Value]) -> Vec<&str> {
    deliveries.iter().map(|it| &it["message_id"].as_str().unwrap()[4..8]).collect()
}

async fn partitions_are_there_ahead_and_what_is_past_its_time_goes_while_it_stays_counted(context: Context) {
    let database = context.environment.database().await;
    let kept = "[retention]\ndeliveries = \"3d\"\ntests = \"1d\"";
    let mut deployment = Deployment::prepare_on(&context, "retention", &database, kept).await;
    deployment.start_all().await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let hook = Hook::create(&tenant, &receiver, "/kept", json!({})).await;
    deployment.synced().await;
    tenant.publish(&json!({"type": "a", "id": "fresh", "data": 1})).await;
    let fresh = MessageId::from_trusted(hook.wait_for(1).await[0].webhook_id());
    tenant.delivery(fresh.as_str(), "delivered").await;

    let pool = connect(&database, 2).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let now = clock::now();
    for table in Kept::ALL {
        let lacks = async |since: Timestamp, until: Timestamp| {
            retention::missing(&mut pool.acquire().await.unwrap(), table, since, since, until).await.unwrap()
        };
        eventually(LIMIT, "partitions to be made ahead", async || {
            lacks(now, now + 6 * 24 * HOUR).await.is_empty().then_some(())
        })
        .await;
    }
    let owner = TenantId::from_trusted(tenant.id.as_str());
    let row = delivery_log::get(&mut conn, &owner, &fresh, &Run::LIVE).await.unwrap().unwrap();
    drop(conn);
    // For some of these days there is no partition, and they are written all the same.
    for (message, kind, hours) in [
        ("msg_old0", DeliveryKind::Live, 100),
        ("msg_late", DeliveryKind::Live, 50),
        ("msg_dry0", DeliveryKind::Test, 30),
        ("msg_dry1", DeliveryKind::Test, 20),
    ] {
        let message = format!("{message}{}", "0".repeat(22));
        write_as_of(&pool, &row, &message, kind, hours * HOUR).await;
    }
    let begun = &fresh.as_str()[4..8];
    assert_eq!(listed(&tenant.deliveries("", 5).await), [begun, "dry1", "dry0", "late", "old0"]);

    // Partitions are looked at when a process starts.
    deployment.terminate().await;
    deployment.start_all().await;
    let tenant = tenant.at(&deployment);
    eventually(LIMIT, "what is past its time to go", async || {
        let left = tenant.list("/v1/deliveries").await;
        (listed(&left) == [begun, "dry1", "late"]).then_some(())
    })
    .await;
    let gone = format!("/v1/deliveries/msg_old0{}", "0".repeat(22));
    assert_eq!(tenant.api.get(&gone).await.unwrap().0, 404);
    eventually(LIMIT, "what was delivered to stay counted", async || {
        let (_, summary) = tenant.api.get("/v1/analytics/summary").await.unwrap();
        (summary["counts"]["delivered"] == 1).then_some(())
    })
    .await;
}
