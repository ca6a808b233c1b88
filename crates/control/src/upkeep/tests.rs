//! Partitions and counts, on a real Postgres.

use std::time::Duration;

use postrider_domain::{
    DeliveryKind, EndpointId, ErrorClass, EventId, MessageId, Run, SourceCoordinates, SubscriptionId, TenantId,
    Timestamp,
    delivery_event::Phases,
    rollup::{Grain, Segment, segments},
    seal::KeyRing,
    tally::Tally,
};
use postrider_postgres::{
    Database,
    api_key_usage::{self, UsageRow},
    audit_chain, connect, connect_service,
    delivery_log::{self, AttemptRow, DeliveryFilter, DeliveryRow, DeliveryStatus},
    local::LocalPostgres,
    migrate,
    retention::{self, Kept},
    rollups::{self, Delta, EventTypes, Subject},
    security_events::{self, SecurityEventFilter},
    tenant_usage,
};

use rand::{SeedableRng as _, rngs::StdRng};

use super::{Folded, Retention, fold, keep};
use crate::{
    audit::{Actor, Change, record},
    audit_chain::{extend, verify_now},
    clock,
    manage::api_keys::create_operator_key,
    security::{Origin, SecurityKind, SecurityLog},
};

const DAY: Duration = Duration::from_hours(24);

async fn database() -> (LocalPostgres, Database) {
    let server = LocalPostgres::start(None).await.unwrap();
    migrate(&connect(&server.create_database("log").await.unwrap(), 1).await.unwrap()).await.unwrap();
    let pool = connect_service(&server.service_url("log"), 4).await.unwrap();
    (server, pool)
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-10T12:00:00Z").unwrap()
}

fn tenant() -> TenantId {
    TenantId::from_trusted("ten_1")
}

fn delivery(message: &str, kind: DeliveryKind, matched_at: Timestamp) -> DeliveryRow {
    DeliveryRow {
        message_id: MessageId::from_trusted(message),
        run: Run::LIVE,
        tenant: tenant(),
        endpoint: EndpointId::from_trusted("ep_1"),
        subscription: SubscriptionId::from_trusted("sub_1"),
        event_id: EventId::from_trusted("event"),
        event_type: "order.created".to_owned(),
        kind,
        source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 0 },
        status: DeliveryStatus::Delivered,
        rank: DeliveryStatus::Delivered.rank(),
        held: None,
        attempt: 1,
        last_status: Some(200),
        last_error: None,
        last_error_message: None,
        next_attempt_at: None,
        matched_at,
        updated_at: matched_at,
        payload: None,
    }
}

fn attempt(message: &str, started_at: Timestamp) -> AttemptRow {
    AttemptRow {
        message_id: MessageId::from_trusted(message),
        run: Run::LIVE,
        log_partition: 0,
        log_offset: 0,
        tenant: tenant(),
        attempt: 1,
        started_at,
        duration_us: 1,
        status: Some(200),
        error: None,
        error_message: None,
        response_excerpt: None,
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        phases: Phases::default(),
    }
}

async fn write(pool: &Database, deliveries: &[DeliveryRow]) {
    let mut conn = pool.acquire().await.unwrap();
    let attempts: Vec<_> = deliveries.iter().map(|row| attempt(row.message_id.as_str(), row.matched_at)).collect();
    delivery_log::insert_attempts(&mut conn, &attempts).await.unwrap();
    delivery_log::upsert_deliveries(&mut conn, deliveries).await.unwrap();
}

async fn listed(pool: &Database) -> Vec<String> {
    let mut transaction = pool.begin().await.unwrap();
    let rows =
        delivery_log::list(&mut transaction, &tenant(), &DeliveryFilter::default(), None, 100, now()).await.unwrap();
    rows.into_iter().map(|row| row.message_id.to_string()).collect()
}

/// How many partitions a table lacks for these days.
async fn missing(pool: &Database, kept: Kept, since: Timestamp, until: Timestamp) -> usize {
    let mut conn = pool.acquire().await.unwrap();
    retention::missing(&mut conn, kept, since, since, until).await.unwrap().len()
}

#[tokio::test]
async fn partitions_are_made_ahead_and_for_what_came_before_them_and_dropped_behind() {
    let (_server, pool) = database().await;
    let today = clock::now();
    assert_eq!(missing(&pool, Kept::Audit, today, today).await, 0, "what the API writes into is there from the start");
    // No insert fails for want of a partition: not today's, not an old one's, not that of a clock far ahead.
    let ages = [("msg_today", 0), ("msg_week", 7), ("msg_old", 29), ("msg_gone", 31)];
    let live = |name: &str, at| delivery(name, DeliveryKind::Live, at);
    let mut rows: Vec<_> = ages.iter().map(|(name, days)| live(name, now() - DAY * *days)).collect();
    rows.push(live("msg_far", now() + DAY * 400));
    write(&pool, &rows).await;
    assert!(missing(&pool, Kept::Deliveries, now(), now() + DAY * 7).await > 0);

    keep(&pool, &Retention::default(), now()).await.unwrap();
    for kept in Kept::ALL {
        assert_eq!(missing(&pool, kept, now() - DAY, now() + DAY * 7).await, 0, "{kept:?}");
    }
    assert_eq!(listed(&pool).await, ["msg_far", "msg_today", "msg_week", "msg_old"]);
    assert_eq!(missing(&pool, Kept::Attempts, now() - DAY * 29, now() - DAY * 29).await, 0, "it was made for msg_old");
    // What is written again finds its row where it was moved.
    write(&pool, &rows[..3]).await;
    assert_eq!(listed(&pool).await.len(), 4);

    keep(&pool, &Retention::default(), now() + DAY * 8).await.unwrap();
    assert_eq!(listed(&pool).await, ["msg_far", "msg_today", "msg_week"]);
    keep(&pool, &Retention::default(), now() + DAY * 40).await.unwrap();
    assert_eq!(listed(&pool).await, ["msg_far"]);
    let mut conn = pool.acquire().await.unwrap();
    let message = MessageId::from_trusted("msg_today");
    assert_eq!(delivery_log::attempts_of(&mut conn, &tenant(), &message).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_dropped_of_the_audit_log_leaves_its_chain_whole() {
    let (_server, pool) = database().await;
    let ring = KeyRing::parse(&KeyRing::generate_text(&mut StdRng::seed_from_u64(7))).unwrap();
    let mut conn = pool.acquire().await.unwrap();
    // Two that are past their time, and two that are not.
    for days in [500, 499, 399, 0] {
        let id = format!("ten_{days}");
        let change = Change { tenant: None, action: "tenant.create", entity_id: &id, before: None, after: None };
        record(&mut conn, &Actor::cli(), now() - DAY * days, change).await.unwrap();
    }
    let records = audit_chain::pending_alone(&mut conn, 10).await.unwrap();
    audit_chain::append(&mut conn, &extend(None, &records, &ring)).await.unwrap();
    drop(conn);
    let kept_since = now() - Retention::default().audit;
    for _ in 0..2 {
        keep(&pool, &Retention::default(), now()).await.unwrap();
        let verdict = verify_now(&pool, &ring, kept_since, None).await.unwrap();
        assert_eq!((verdict.faults, verdict.first, verdict.links, verdict.expired), (vec![], Some(2), 3, 1));
    }
}

#[tokio::test]
async fn security_events_are_kept_as_long_as_the_audit_log() {
    let (_server, pool) = database().await;
    let log = SecurityLog::default();
    for days in [401, 399] {
        log.note(now() - DAY * days, SecurityKind::BadKey, Origin::default(), "the API key is not known");
        log.write(&pool).await.unwrap();
    }
    keep(&pool, &Retention::default(), now()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let kept = security_events::list(&mut transaction, None, &SecurityEventFilter::default(), None, 10).await.unwrap();
    assert_eq!(kept.iter().map(|event| event.at).collect::<Vec<_>>(), [now() - DAY * 399]);
}

#[tokio::test]
async fn what_keys_and_tenants_did_is_kept_as_long_as_counts_by_day() {
    let (_server, pool) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    let keys = KeyRing::parse(&KeyRing::generate_text(&mut rng)).unwrap();
    let made = create_operator_key(&mut conn, &keys, "usage", None, now(), &mut rng).await.unwrap();
    let day = |ago: u32| (now() - DAY * ago).to_datetime().date_naive();
    for ago in [801, 799] {
        let row = UsageRow {
            key: made.0.id.clone(),
            day: day(ago),
            route: "GET /v1".into(),
            requests: 1,
            refused: 0,
            last: now(),
        };
        api_key_usage::add(&mut conn, &[row]).await.unwrap();
        tenant_usage::add(&mut conn, &[(tenant(), day(ago), 5)], day(0), now()).await.unwrap();
    }
    keep(&pool, &Retention::default(), now()).await.unwrap();
    let used = api_key_usage::list(&mut conn, None, &made.0.id, day(900), 10).await.unwrap();
    assert_eq!(used.iter().map(|(day, ..)| *day).collect::<Vec<_>>(), [day(799)]);
    let begun = async |ago| tenant_usage::get(&mut pool.acquire().await.unwrap(), &tenant(), day(ago)).await.unwrap();
    assert_eq!((begun(801).await, begun(799).await), (0, 5));
}

#[tokio::test]
async fn tests_are_kept_for_a_shorter_time() {
    let (_server, pool) = database().await;
    let at = now() - DAY * 8;
    write(&pool, &[delivery("msg_test", DeliveryKind::Test, at), delivery("msg_live", DeliveryKind::Live, at)]).await;
    keep(&pool, &Retention::default(), now() - DAY * 2).await.unwrap();
    assert_eq!(listed(&pool).await.len(), 2);
    keep(&pool, &Retention::default(), now()).await.unwrap();
    assert_eq!(listed(&pool).await, ["msg_live"]);
    let mut conn = pool.acquire().await.unwrap();
    let message = MessageId::from_trusted("msg_test");
    assert_eq!(delivery_log::attempts_of(&mut conn, &tenant(), &message).await.unwrap(), []);
}

#[tokio::test]
async fn a_delivery_that_is_matched_again_after_midnight_keeps_its_row() {
    let (_server, pool) = database().await;
    keep(&pool, &Retention::default(), now()).await.unwrap();
    let midnight = Grain::Day.floor(now());
    let first = delivery("msg_1", DeliveryKind::Live, midnight - Duration::from_secs(5));
    let again = DeliveryRow { attempt: 2, matched_at: midnight + Duration::from_secs(5), ..first.clone() };
    write(&pool, std::slice::from_ref(&first)).await;
    write(&pool, &[again]).await;
    let mut conn = pool.acquire().await.unwrap();
    let runs = delivery_log::runs_of(&mut conn, &tenant(), &first.message_id).await.unwrap();
    assert_eq!(runs.iter().map(|run| (run.attempt, run.matched_at)).collect::<Vec<_>>(), [(2, first.matched_at)]);
}

#[tokio::test]
async fn only_one_at_a_time_keeps_and_adds_up() {
    let (_server, pool) = database().await;
    let mut keeper = pool.begin().await.unwrap();
    assert!(retention::try_lock(&mut keeper, Duration::from_secs(1)).await.unwrap());
    keep(&pool, &Retention::default(), now()).await.unwrap();
    assert!(missing(&pool, Kept::Deliveries, now(), now()).await > 0, "it is somebody else's to make");

    count(&pool, now(), "order.created", 3).await;
    let mut folder = pool.begin().await.unwrap();
    assert!(rollups::try_lock(&mut folder).await.unwrap());
    assert_eq!(fold(&pool).await.unwrap(), Folded::All);
    folder.rollback().await.unwrap();
    assert_eq!(total(&pool, now() - DAY, now() + DAY).await.delivered, 0);
    fold(&pool).await.unwrap();
    assert_eq!(total(&pool, now() - DAY, now() + DAY).await.delivered, 3);
}

/// Counts `delivered` deliveries of 10 ms each, and as many time-outs, at a time.
async fn count(pool: &Database, at: Timestamp, event_type: &str, delivered: u64) {
    let mut tally = Tally { attempts: 2 * delivered, failed_attempts: delivered, delivered, ..Tally::default() };
    tally.errors.insert(ErrorClass::Timeout, delivered);
    (0..delivered).for_each(|_| tally.latency.record(10_000));
    let delta = Delta {
        tenant: tenant(),
        endpoint: EndpointId::from_trusted("ep_1"),
        event_type: event_type.to_owned(),
        minute: Grain::Minute.floor(at),
        tally,
    };
    let mut conn = pool.acquire().await.unwrap();
    rollups::insert_deltas(&mut conn, &[delta]).await.unwrap();
}

/// What the tenant's deliveries come to in a window.
async fn total(pool: &Database, from: Timestamp, to: Timestamp) -> Tally {
    let mut transaction = pool.begin().await.unwrap();
    let mut sum = Tally::default();
    for part in segments(Grain::Minute.floor(from), Grain::Minute.floor(to)) {
        let tenant = tenant();
        let subject = Subject::Tenant(&tenant);
        let rows = rollups::read(&mut transaction, subject, EventTypes::Total, part).await.unwrap();
        for row in &rows {
            sum.merge(&row.tally);
        }
    }
    sum
}

#[tokio::test]
async fn counts_add_up_over_any_window_and_go_when_their_time_is_over() {
    let (_server, pool) = database().await;
    for (minutes, count_of) in [(0, 1), (1, 2), (59, 4), (61, 8), (25 * 60, 16), (3 * 24 * 60, 32)] {
        let at = now() - Duration::from_mins(minutes);
        count(&pool, at, "order.created", count_of).await;
        count(&pool, at, "order.paid", count_of).await;
        fold(&pool).await.unwrap();
    }
    keep(&pool, &Retention::default(), now()).await.unwrap();
    let end = now() + Duration::from_mins(1);
    for (minutes, expected) in [(0, 1), (1, 3), (60, 7), (61, 15), (25 * 60 - 1, 15), (25 * 60, 31), (80 * 60, 63)] {
        let found = total(&pool, now() - Duration::from_mins(minutes), end).await;
        assert_eq!(found.delivered, 2 * expected, "{minutes} minutes");
        assert_eq!(found.errors[&ErrorClass::Timeout], 2 * expected);
        assert_eq!((found.latency.count(), found.latency.max()), (2 * expected, 10_000));
    }

    keep(&pool, &Retention::default(), now() + DAY * 20).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    for (grain, rows_left) in [(Grain::Minute, 0), (Grain::Hour, 10), (Grain::Day, 6)] {
        let ep = EndpointId::from_trusted("ep_1");
        let tenant = tenant();
        let part = Segment { grain, from: now() - DAY * 10, to: now() + DAY };
        let subject = Subject::Endpoint(&tenant, &ep);
        let rows = rollups::read(&mut transaction, subject, EventTypes::Total, part).await.unwrap();
        assert_eq!(rows.len(), rows_left, "{grain}");
    }
    let worst = Segment { grain: Grain::Day, from: now() - DAY * 10, to: now() + DAY };
    let failing = rollups::failing(&mut transaction, None, worst, 5).await.unwrap();
    assert_eq!(failing.iter().map(|it| (it.attempts, it.failed_attempts)).collect::<Vec<_>>(), [(252, 126)]);
}
