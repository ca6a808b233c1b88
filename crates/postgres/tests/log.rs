//! What the relay and the projector write, on a real Postgres.

use postrider_domain::{
    ConfigBody, DeliveryKind, DirectoryVersion, EndpointId, EntityId, EntityKind, EventId, MessageId, Run,
    SourceCoordinates, SubscriptionId, TenantId, Timestamp,
    config_entry::{Deleted, Tenant},
    delivery::Header,
    delivery_event::{HeldRange, Phases, RangeReason},
};
use postrider_postgres::{
    Database, connect, connect_service,
    delivery_log::{
        AttemptRow, DeliveryFilter, DeliveryRow, DeliveryStatus, HeldAt, attempts_of, end_ranges, get, insert_attempts,
        list, lock_out_deliveries, lock_out_ranges, runs_of, upsert_deliveries,
    },
    local::LocalPostgres,
    migrate, outbox, projector_offsets,
    relay_state::{self, PublishedEntity},
};

/// A migrated database on a server of the test's own, which lives as long as the first part.
async fn database() -> (LocalPostgres, Database) {
    let server = LocalPostgres::start(None).await.expect("Postgres starts");
    let url = server.create_database("log").await.expect("a database is made");
    migrate(&connect(&url, 1).await.expect("Postgres answers")).await.expect("the migrations apply");
    let pool = connect_service(&server.service_url("log"), 5).await.expect("the service can connect");
    (server, pool)
}

/// When the tests' deliveries are listed.
fn now() -> Timestamp {
    Timestamp::from_millis(1_000_000)
}

fn tenant() -> TenantId {
    TenantId::from_trusted("ten_1")
}

fn row(message: &str, attempt: i32, status: DeliveryStatus) -> DeliveryRow {
    DeliveryRow {
        message_id: MessageId::from_trusted(message),
        run: Run::LIVE,
        tenant: tenant(),
        endpoint: EndpointId::from_trusted("ep_1"),
        subscription: SubscriptionId::from_trusted("sub_1"),
        event_id: EventId::from_trusted("event"),
        event_type: "order.created".to_owned(),
        kind: DeliveryKind::Live,
        source: SourceCoordinates { topic: "orders".into(), partition: 1, offset: 2 },
        status,
        rank: status.rank(),
        held: None,
        attempt,
        last_status: None,
        last_error: None,
        last_error_message: None,
        next_attempt_at: None,
        matched_at: Timestamp::from_millis(1_000),
        updated_at: Timestamp::from_millis(2_000),
        payload: None,
    }
}

fn attempt(offset: i64) -> AttemptRow {
    AttemptRow {
        message_id: MessageId::from_trusted("msg_1"),
        run: Run::LIVE,
        log_partition: 3,
        log_offset: offset,
        tenant: tenant(),
        attempt: 1,
        started_at: Timestamp::from_millis(1_500 + offset),
        duration_us: 12,
        status: Some(500),
        error: Some("http_server_error".to_owned()),
        error_message: None,
        response_excerpt: Some("oops".to_owned()),
        request_headers: vec![Header { name: "x-a".to_owned(), value: "\"b\" é".to_owned() }; 2],
        response_headers: Vec::new(),
        phases: Phases { dns_us: Some(1), connect_us: None, tls_us: Some(3), wait_us: Some(4) },
    }
}

#[tokio::test]
async fn a_row_changes_only_forward_in_attempt_and_rank() {
    let (_server, pool) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let message = MessageId::from_trusted("msg_1");
    // Each step: what is written, and what the row is then.
    let steps = [
        (row("msg_1", 1, DeliveryStatus::Waiting), (1, DeliveryStatus::Waiting)),
        (
            DeliveryRow {
                last_status: Some(500),
                last_error: Some("http_server_error".into()),
                ..row("msg_1", 1, DeliveryStatus::Retrying)
            },
            (1, DeliveryStatus::Retrying),
        ),
        (row("msg_1", 1, DeliveryStatus::Waiting), (1, DeliveryStatus::Retrying)),
        (row("msg_1", 2, DeliveryStatus::Waiting), (2, DeliveryStatus::Waiting)),
        (row("msg_1", 1, DeliveryStatus::Delivered), (2, DeliveryStatus::Waiting)),
    ];
    for (written, (attempt, status)) in steps {
        upsert_deliveries(&mut conn, std::slice::from_ref(&written)).await.unwrap();
        let stored = runs_of(&mut conn, &tenant(), &message).await.unwrap().remove(0);
        assert_eq!((stored.attempt, stored.status), (attempt, status), "after {written:?}");
    }
    let waiting = runs_of(&mut conn, &tenant(), &message).await.unwrap().remove(0);
    assert_eq!(waiting.last_status, Some(500), "waiting keeps the answer of the attempt before");

    let delivered = DeliveryRow {
        last_status: Some(204),
        updated_at: Timestamp::from_millis(1),
        ..row("msg_1", 2, DeliveryStatus::Delivered)
    };
    upsert_deliveries(&mut conn, &[delivered]).await.unwrap();
    upsert_deliveries(&mut conn, &[row("msg_1", 2, DeliveryStatus::Cancelled)]).await.unwrap();
    let stored = runs_of(&mut conn, &tenant(), &message).await.unwrap().remove(0);
    assert_eq!(stored.status, DeliveryStatus::Delivered, "a late cancellation does not undo it");
    assert_eq!((stored.last_status, stored.last_error), (Some(204), None));
}

#[tokio::test]
async fn a_row_knows_the_place_of_its_payload_until_it_is_told_another() {
    let (_server, pool) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let at = |offset| Some(SourceCoordinates { topic: "postrider.deliveries".into(), partition: 3, offset });
    for (attempt, told, known) in [(1, None, None), (2, at(7), at(7)), (3, None, at(7)), (4, at(9), at(9))] {
        let written = DeliveryRow { payload: told, ..row("msg_1", attempt, DeliveryStatus::Retrying) };
        upsert_deliveries(&mut conn, &[written]).await.unwrap();
        let stored = get(&mut conn, &tenant(), &MessageId::from_trusted("msg_1"), &Run::LIVE).await.unwrap().unwrap();
        assert_eq!((stored.attempt, stored.payload), (attempt, known));
    }
}

#[tokio::test]
async fn a_range_and_a_delivery_in_it_that_are_written_at_once_do_not_miss_each_other() {
    let (_server, pool) = database().await;
    let held = Some(HeldAt { partition: 4, offset: 11 });
    let mut delivery = pool.begin().await.unwrap();
    lock_out_ranges(&mut delivery).await.unwrap();
    let waiting = DeliveryRow { held, ..row("msg_1", 1, DeliveryStatus::Held) };
    upsert_deliveries(&mut delivery, &[waiting]).await.unwrap();
    let range = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut transaction = pool.begin().await.unwrap();
            lock_out_deliveries(&mut transaction).await.unwrap();
            let (endpoint, at) = (EndpointId::from_trusted("ep_1"), Timestamp::from_millis(3_000));
            let (reason, count) = (RangeReason::Skipped, 10);
            let range = HeldRange { tenant: tenant(), endpoint, partition: 4, from: 10, to: 20, reason, count, at };
            end_ranges(&mut transaction, &[range.clone(), range]).await.unwrap();
            transaction.commit().await.unwrap();
        }
    });
    let mut conn = pool.acquire().await.unwrap();
    let waits = async {
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while sqlx::query_scalar::<_, i64>(locks).fetch_one(&mut *conn).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waits).await.expect("the range waits for the delivery");
    delivery.commit().await.unwrap();
    range.await.unwrap();
    let stored = runs_of(&mut conn, &tenant(), &MessageId::from_trusted("msg_1")).await.unwrap().remove(0);
    assert_eq!((stored.status, stored.held), (DeliveryStatus::Skipped, held));
}

#[tokio::test]
async fn an_attempt_is_there_once_however_often_it_is_written() {
    let (_server, pool) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    insert_attempts(&mut conn, &[attempt(7), attempt(8)]).await.unwrap();
    insert_attempts(&mut conn, &[attempt(8), attempt(9)]).await.unwrap();
    let message = MessageId::from_trusted("msg_1");
    let stored = attempts_of(&mut conn, &tenant(), &message).await.unwrap();
    assert_eq!(stored, [attempt(7), attempt(8), attempt(9)]);
    let foreign = attempts_of(&mut conn, &TenantId::from_trusted("ten_2"), &message).await.unwrap();
    assert_eq!(foreign, []);
}

#[tokio::test]
async fn a_list_is_newest_first_filtered_and_continues_after_a_key() {
    let (_server, pool) = database().await;
    let at = |millis: i64, row: DeliveryRow| DeliveryRow { matched_at: Timestamp::from_millis(millis), ..row };
    let rows = [
        at(10, row("msg_a", 1, DeliveryStatus::Delivered)),
        at(20, row("msg_b", 1, DeliveryStatus::Failed)),
        at(20, row("msg_c", 1, DeliveryStatus::Delivered)),
        DeliveryRow { tenant: TenantId::from_trusted("ten_2"), ..at(30, row("msg_d", 1, DeliveryStatus::Delivered)) },
        DeliveryRow { endpoint: EndpointId::from_trusted("ep_2"), ..at(5, row("msg_e", 1, DeliveryStatus::Delivered)) },
    ];
    let mut transaction = pool.begin().await.unwrap();
    upsert_deliveries(&mut transaction, &rows).await.unwrap();
    let names = |rows: &[DeliveryRow]| rows.iter().map(|row| row.message_id.to_string()).collect::<Vec<_>>();

    let all = DeliveryFilter::default();
    let first = list(&mut transaction, &tenant(), &all, None, 2, now()).await.unwrap();
    assert_eq!(names(&first), ["msg_c", "msg_b"]);
    let rest = list(&mut transaction, &tenant(), &all, Some(&first[1].key()), 10, now()).await.unwrap();
    assert_eq!(names(&rest), ["msg_a", "msg_e"]);

    let filters = [
        (DeliveryFilter { endpoint: Some(EndpointId::from_trusted("ep_2")), ..all.clone() }, vec!["msg_e"]),
        (DeliveryFilter { status: Some(DeliveryStatus::Failed), ..all.clone() }, vec!["msg_b"]),
        (DeliveryFilter { message: Some(MessageId::from_trusted("msg_a")), ..all.clone() }, vec!["msg_a"]),
        (DeliveryFilter { message: Some(MessageId::from_trusted("msg_d")), ..all.clone() }, vec![]),
        (DeliveryFilter { event_type: Some("other".to_owned()), ..all.clone() }, vec![]),
        (
            DeliveryFilter { event: Some(EventId::from_trusted("event")), ..all.clone() },
            vec!["msg_c", "msg_b", "msg_a", "msg_e"],
        ),
    ];
    for (filter, expected) in filters {
        let found = list(&mut transaction, &tenant(), &filter, None, 10, now()).await.unwrap();
        assert_eq!(names(&found), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn what_an_endpoint_did_not_get_is_listed_page_by_page_over_all_days() {
    const DAY: i64 = 86_400_000;
    let (_server, pool) = database().await;
    let failed = |message: &str, millis: i64| DeliveryRow {
        matched_at: Timestamp::from_millis(millis),
        ..row(message, 1, DeliveryStatus::Failed)
    };
    let rows = [
        failed("msg_a", 5),
        failed("msg_b", DAY),
        failed("msg_c", DAY),
        failed("msg_d", DAY),
        failed("msg_e", 3 * DAY),
        DeliveryRow { status: DeliveryStatus::Delivered, ..failed("msg_f", DAY) },
        DeliveryRow { status: DeliveryStatus::Cancelled, ..failed("msg_g", DAY) },
        DeliveryRow { endpoint: EndpointId::from_trusted("ep_2"), ..failed("msg_h", DAY) },
        DeliveryRow { tenant: TenantId::from_trusted("ten_2"), ..failed("msg_i", DAY) },
    ];
    let mut transaction = pool.begin().await.unwrap();
    upsert_deliveries(&mut transaction, &rows).await.unwrap();
    let all = DeliveryFilter {
        endpoint: Some(EndpointId::from_trusted("ep_1")),
        status: Some(DeliveryStatus::Failed),
        ..DeliveryFilter::default()
    };
    let mut listed = async |filter: &DeliveryFilter| {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = list(&mut transaction, &tenant(), filter, after.as_ref(), 2, now()).await.unwrap();
            let Some(last) = page.last() else { return names };
            after = Some(last.key());
            names.extend(page.into_iter().map(|row| row.message_id.to_string()));
        }
    };
    assert_eq!(listed(&all).await, ["msg_e", "msg_d", "msg_c", "msg_b", "msg_a"]);
    let since = Some(Timestamp::from_millis(DAY));
    let until = Some(Timestamp::from_millis(3 * DAY));
    assert_eq!(listed(&DeliveryFilter { since, until, ..all.clone() }).await, ["msg_d", "msg_c", "msg_b"]);
    let status = Some(DeliveryStatus::Cancelled);
    assert_eq!(listed(&DeliveryFilter { status, ..all }).await, ["msg_g"]);
}

#[tokio::test]
async fn compare_and_set_refuses_an_old_owner() {
    let (_server, pool) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let topic = "postrider.delivery-events";
    // (expected, next, whether it is accepted)
    let steps =
        [(None, 10, true), (None, 12, false), (Some(9), 12, false), (Some(10), 20, true), (Some(10), 15, false)];
    for (expected, next, accepted) in steps {
        let done = projector_offsets::compare_and_set(&mut conn, topic, 0, expected, next).await.unwrap();
        assert_eq!(done, accepted, "{expected:?} -> {next}");
    }
    assert_eq!(projector_offsets::get(&mut conn, topic, 0).await.unwrap(), Some(20));
    let stored = projector_offsets::get_all(&mut conn, topic, &[0, 1]).await.unwrap();
    assert_eq!(stored.into_iter().collect::<Vec<_>>(), [(0, 20)]);
}

#[tokio::test]
async fn an_old_owners_slow_transaction_is_refused_after_the_new_owner_committed() {
    let (_server, pool) = database().await;
    let topic = "postrider.delivery-events";
    let mut conn = pool.acquire().await.unwrap();
    assert!(projector_offsets::compare_and_set(&mut conn, topic, 0, None, 100).await.unwrap());

    let mut new_owner = pool.begin().await.unwrap();
    assert!(projector_offsets::compare_and_set(&mut new_owner, topic, 0, Some(100), 200).await.unwrap());
    let old_owner = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut transaction = pool.begin().await.unwrap();
            projector_offsets::compare_and_set(&mut transaction, topic, 0, Some(100), 150).await.unwrap()
        }
    });
    new_owner.commit().await.unwrap();
    assert!(!old_owner.await.unwrap());
}

#[tokio::test]
async fn a_published_batch_leaves_the_outbox_and_moves_the_state() {
    let (_server, pool) = database().await;
    let body = ConfigBody::Tenant(Tenant::new(tenant(), "Acme"));
    let mut conn = pool.acquire().await.unwrap();
    outbox::push(&mut conn, 1, &body).await.unwrap();

    let rows = outbox::first(&mut conn, 10).await.unwrap();
    assert_eq!(rows[0].body, body);
    relay_state::reserve(&mut conn, 1).await.unwrap();
    let state = relay_state::get(&mut conn).await.unwrap();
    assert_eq!((state.version.seq, state.reserved_seq, state.live), (0, 1, 0));

    let entity = PublishedEntity { entity: (&tenant()).into(), entity_version: 1, deleted_at: None };
    let version = DirectoryVersion { epoch: 1, seq: 1 };
    relay_state::record_batch(&mut conn, version, 1, std::slice::from_ref(&entity), &[rows[0].id]).await.unwrap();
    assert_eq!(outbox::first(&mut conn, 10).await.unwrap(), []);
    let state = relay_state::get(&mut conn).await.unwrap();
    assert_eq!((state.version, state.live), (version, 1));
    assert_eq!(relay_state::published(&mut conn, &[(&tenant()).into()]).await.unwrap(), [entity]);
}

#[tokio::test]
async fn deleted_entities_are_found_once_they_are_old_and_can_be_forgotten() {
    let (_server, pool) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let at = |millis| Timestamp::from_millis(millis).to_datetime();
    let entity =
        |id: &str, deleted_at| PublishedEntity { entity: EntityId::from_trusted(id), entity_version: 2, deleted_at };
    let entities = [entity("ep_old", Some(at(10))), entity("ep_new", Some(at(20))), entity("ep_live", None)];
    relay_state::record_batch(&mut conn, DirectoryVersion { epoch: 1, seq: 3 }, 1, &entities, &[]).await.unwrap();
    let old = relay_state::deleted_before(&mut conn, at(15), 10).await.unwrap();
    assert_eq!(old, [EntityId::from_trusted("ep_old")]);
    relay_state::forget(&mut conn, &old).await.unwrap();
    assert_eq!(relay_state::published(&mut conn, &old).await.unwrap(), []);
}

#[tokio::test]
async fn a_second_relay_does_not_get_the_lock_until_the_first_ones_connection_ends() {
    let (_server, pool) = database().await;
    let mut first = pool.acquire().await.unwrap().detach();
    let mut second = pool.acquire().await.unwrap();
    assert!(relay_state::try_lock(&mut first).await.unwrap());
    assert!(!relay_state::try_lock(&mut second).await.unwrap());
    drop(first);
    let taken = async {
        while !relay_state::try_lock(&mut second).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), taken).await.unwrap();
}

#[tokio::test]
async fn every_kind_of_change_comes_out_of_the_outbox_as_it_went_in() {
    let (_server, pool) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let deleted = Deleted {
        id: EntityId::from_trusted("ep_1"),
        entity: EntityKind::Endpoint,
        at: Timestamp::from_millis(1_764_000_000_000),
    };
    let bodies = [ConfigBody::Tenant(Tenant::new(tenant(), "A\u{0}\"")), ConfigBody::Deleted(deleted)];
    for body in &bodies {
        outbox::push(&mut conn, 1, body).await.unwrap();
    }
    let stored: Vec<_> = outbox::first(&mut conn, 10).await.unwrap().into_iter().map(|row| row.body).collect();
    assert_eq!(stored, bodies);
}
