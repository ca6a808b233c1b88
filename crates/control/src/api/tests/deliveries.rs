//! `/v1/deliveries`.

use postrider_domain::{
    DeliveryKind, EndpointId, EventId, MessageId, Run, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
};
use postrider_postgres::delivery_log::{self, AttemptRow, DeliveryRow, DeliveryStatus};
use serde_json::json;

use super::fixture::Fixture;

fn message(number: i64) -> String {
    format!("msg_{number:026}")
}

fn delivery(tenant: &str, number: i64, status: DeliveryStatus) -> DeliveryRow {
    DeliveryRow {
        message_id: MessageId::from_trusted(message(number)),
        run: Run::LIVE,
        tenant: TenantId::from_trusted(tenant),
        endpoint: EndpointId::from_trusted("ep_00000000000000000000000001"),
        subscription: SubscriptionId::from_trusted("sub_00000000000000000000000001"),
        event_id: EventId::from_trusted(format!("event {number}")),
        event_type: "order.created".to_owned(),
        kind: DeliveryKind::Live,
        source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: number },
        status,
        rank: status.rank(),
        held: None,
        attempt: 2,
        last_status: Some(204),
        last_error: None,
        last_error_message: None,
        next_attempt_at: None,
        matched_at: Timestamp::from_millis(number),
        updated_at: Timestamp::from_millis(number),
    }
}

fn attempt(tenant: &str, number: i64, attempt: i32) -> AttemptRow {
    AttemptRow {
        message_id: MessageId::from_trusted(message(number)),
        run: Run::LIVE,
        log_partition: 0,
        log_offset: i64::from(attempt),
        tenant: TenantId::from_trusted(tenant),
        attempt,
        started_at: Timestamp::from_millis(i64::from(attempt)),
        duration_us: 1_500,
        status: Some(204),
        error: None,
        error_message: None,
        response_excerpt: None,
    }
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_page_by_page() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    let rows: Vec<_> = (1..=5).map(|number| delivery(&tenant.id, number, DeliveryStatus::Delivered)).collect();
    let mut conn = fixture.pool.acquire().await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, &rows).await.unwrap();

    let mut seen = Vec::new();
    let mut path = "/v1/deliveries?limit=2".to_owned();
    loop {
        let page = tenant.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let data = page.body["data"].as_array().unwrap();
        seen.extend(data.iter().map(|delivery| delivery["message_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/deliveries?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1].map(message));
}

#[tokio::test]
async fn deliveries_are_filtered() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    let other = EndpointId::from_trusted("ep_00000000000000000000000002");
    let rows = [
        delivery(&tenant.id, 1, DeliveryStatus::Failed),
        DeliveryRow { event_type: "order.paid".to_owned(), ..delivery(&tenant.id, 2, DeliveryStatus::Delivered) },
        DeliveryRow { endpoint: other, ..delivery(&tenant.id, 3, DeliveryStatus::Delivered) },
        DeliveryRow { event_type: "order.held".to_owned(), ..delivery(&tenant.id, 4, DeliveryStatus::Held) },
        DeliveryRow { event_type: "order.held".to_owned(), ..delivery(&tenant.id, 5, DeliveryStatus::Skipped) },
    ];
    let mut conn = fixture.pool.acquire().await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, &rows).await.unwrap();
    for (filter, expected) in [
        ("status=failed", vec![1]),
        ("status=cancelled", vec![]),
        ("status=held", vec![4]),
        ("status=skipped", vec![5]),
        ("event_type=order.paid", vec![2]),
        ("endpoint_id=ep_00000000000000000000000002", vec![3]),
        ("event_id=event%201", vec![1]),
        (&format!("message_id={}", message(2)), vec![2]),
        ("status=delivered&endpoint_id=ep_00000000000000000000000001", vec![2]),
    ] {
        let page = tenant.get(&format!("/v1/deliveries?{filter}")).await;
        let found: Vec<_> =
            page.body["data"].as_array().unwrap().iter().map(|delivery| delivery["message_id"].clone()).collect();
        let expected: Vec<_> = expected.into_iter().map(|number| json!(message(number))).collect();
        assert_eq!(found, expected, "{filter}: {}", page.text);
    }
}

#[tokio::test]
async fn a_bad_filter_is_named() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    for (query, field) in [
        ("status=lost", "status"),
        ("endpoint_id=ep_1", "endpoint_id"),
        ("message_id=%00", "message_id"),
        ("event_id=%00", "event_id"),
        ("event_type=a%00b", "event_type"),
        ("cursor=AAAA", "cursor"),
        ("limit=0", "limit"),
        ("limit=many", "limit"),
    ] {
        tenant.get(&format!("/v1/deliveries?{query}")).await.assert_problem(400, Some(field));
    }
}

#[tokio::test]
async fn a_message_shows_its_attempts_in_order() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    let mut conn = fixture.pool.acquire().await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, &[delivery(&tenant.id, 1, DeliveryStatus::Delivered)]).await.unwrap();
    let attempts = [attempt(&tenant.id, 1, 2), attempt(&tenant.id, 1, 1)];
    delivery_log::insert_attempts(&mut conn, &attempts).await.unwrap();

    let shown = tenant.get(&format!("/v1/deliveries/{}", message(1))).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    let run = &shown.body["runs"][0];
    assert_eq!(run["delivery"]["status"], "delivered");
    assert_eq!(run["attempts"][0]["number"], 1);
    assert_eq!(run["attempts"][1]["number"], 2);
    assert_eq!(run["attempts"][0]["duration_ms"], 1.5);
}

#[tokio::test]
async fn a_foreign_tenants_delivery_does_not_exist() {
    let fixture = Fixture::new().await;
    let owner = fixture.tenant("acme").await;
    let stranger = fixture.tenant("initech").await;
    let mut conn = fixture.pool.acquire().await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, &[delivery(&owner.id, 1, DeliveryStatus::Delivered)]).await.unwrap();

    let path = format!("/v1/deliveries/{}", message(1));
    assert_eq!(owner.get(&path).await.status, 200);
    stranger.get(&path).await.assert_problem(404, None);
    owner.get(&format!("/v1/deliveries/{}", message(2))).await.assert_problem(404, None);
    owner.get("/v1/deliveries/nonsense").await.assert_problem(404, None);
    assert_eq!(stranger.get("/v1/deliveries").await.body["data"], json!([]));
}
