//! `/v1/deliveries`.

use poem::http::Method;
use postrider_domain::{
    DeliveryKind, EndpointId, EventId, MessageId, Run, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
    delivery::Header, delivery_event::Phases,
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
        payload: None,
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
        request_headers: vec![Header { name: "webhook-id".to_owned(), value: message(number) }],
        response_headers: vec![Header { name: "x-a".to_owned(), value: "b".to_owned() }],
        phases: Phases { dns_us: Some(500), wait_us: Some(1_000), ..Phases::default() },
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
        DeliveryRow {
            last_error: Some("timeout".to_owned()),
            last_status: None,
            ..delivery(&tenant.id, 1, DeliveryStatus::Failed)
        },
        DeliveryRow { event_type: "order.paid".to_owned(), ..delivery(&tenant.id, 2, DeliveryStatus::Delivered) },
        DeliveryRow { endpoint: other, kind: DeliveryKind::Test, ..delivery(&tenant.id, 3, DeliveryStatus::Delivered) },
        DeliveryRow { event_type: "order.held".to_owned(), ..delivery(&tenant.id, 4, DeliveryStatus::Held) },
        DeliveryRow {
            event_type: "order.held".to_owned(),
            last_status: Some(503),
            ..delivery(&tenant.id, 5, DeliveryStatus::Skipped)
        },
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
        ("error_class=timeout", vec![1]),
        ("http_status=503", vec![5]),
        ("http_status=204", vec![4, 3, 2]),
        ("since=1970-01-01T00:00:00.004Z", vec![5, 4]),
        ("until=1970-01-01T00:00:00.002Z", vec![1]),
        ("since=1970-01-01T00:00:00.002Z&until=1970-01-01T00:00:00.003Z", vec![2]),
        ("kind=test", vec![3]),
        ("kind=live&status=delivered", vec![2]),
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
        ("error_class=lost", "error_class"),
        ("http_status=7", "http_status"),
        ("http_status=x", "http_status"),
        ("since=yesterday", "since"),
        ("until=-5000-01-01T00:00:00Z", "until"),
        ("kind=dry", "kind"),
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
    assert_eq!(run["attempts"][0]["request_headers"], json!([{ "name": "webhook-id", "value": message(1) }]));
    assert_eq!(run["attempts"][0]["response_headers"], json!([{ "name": "x-a", "value": "b" }]));
    let phases = json!({ "dns_ms": 0.5, "connect_ms": null, "tls_ms": null, "wait_ms": 1.0, "total_ms": 1.5 });
    assert_eq!(run["attempts"][0]["phases"], phases);
}

#[tokio::test]
async fn what_waits_is_counted_by_what_it_waits_for() {
    use DeliveryStatus::{Delivered, Failed, Held, Retrying, Waiting};
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("acme").await;
    let stranger = fixture.tenant("initech").await;
    let other = EndpointId::from_trusted("ep_00000000000000000000000002");
    let rows = [Waiting, Held, Held, Retrying, Delivered, Failed].into_iter().zip(1..);
    let mut rows: Vec<_> = rows.map(|(status, number)| delivery(&tenant.id, number, status)).collect();
    rows[1].endpoint = other;
    let mut conn = fixture.pool.acquire().await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, &rows).await.unwrap();
    let counts = |waiting, held, retrying| {
        let total = waiting + held + retrying;
        let none = json!(null);
        json!({ "waiting": waiting, "held": held, "retrying": retrying, "total": total, "more": false, "queued": none })
    };
    assert_eq!(tenant.get("/v1/deliveries/pending").await.body, counts(1, 2, 1));
    let of_other = "/v1/deliveries/pending?endpoint_id=ep_00000000000000000000000002";
    assert_eq!(tenant.get(of_other).await.body, counts(0, 1, 0));
    assert_eq!(stranger.get("/v1/deliveries/pending").await.body, counts(0, 0, 0));
    tenant.get("/v1/deliveries/pending?endpoint_id=x").await.assert_problem(400, Some("endpoint_id"));
    // An operator sees everybody's, and what stands before the dispatchers.
    let strangers = DeliveryRow { tenant: TenantId::from_trusted(&*stranger.id), ..delivery(&tenant.id, 9, Held) };
    delivery_log::upsert_deliveries(&mut conn, &[strangers]).await.unwrap();
    let operator = async |path: &str| fixture.call(Method::GET, path, &fixture.operator_key, None, None).await;
    let everywhere = operator("/v1/deliveries/pending").await.body;
    assert_eq!((&everywhere["total"], &everywhere["queued"]), (&json!(5), &json!(7)), "{everywhere}");
    operator(of_other).await.assert_problem(400, Some("Postrider-Tenant"));
    *fixture.deliveries.fails.lock() = true;
    assert_eq!(operator("/v1/deliveries/pending").await.body["queued"], json!(null));
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
