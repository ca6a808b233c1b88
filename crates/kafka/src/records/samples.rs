//! A value of every kind of record, with everything in it that it may have.

use bytes::Bytes;
use postrider_domain::{
    Attempt, ConfigBody, Delivery, DeliveryEvent, DeliveryEventBody, DeliveryKind, DirectoryVersion, Endpoint,
    EndpointId, EntityKind, ErrorClass, EventId, EventType, EventTypeId, JobId, MessageId, Method, Priority, RateLimit,
    Routing, Run, SecretId, SourceCoordinates, Subscription, SubscriptionId, TenantId, Timestamp,
    breaker::BreakerSnapshot,
    config_entry::{Deleted, Tenant},
    delivery::Header,
    delivery_event::{
        AfterAttempt, Attempted, CancelReason, Cancelled, DeadLetter, DeadLettered, Held, HoldReason, ParkReason,
        Parked, Phases, Skipped,
    },
    endpoint::{EndpointSecret, EndpointSettings},
    endpoint_state::{AutoDisabled, BlockedKey, DisableReason, EndpointState, Holding},
    event_type::ValidationMode,
    failing::FailureRecord,
    json_text::JsonText,
    replay::{Backfill, DeadLetterQuery, OffsetRange, OffsetRanges, RejectedQuery, ReplaySource},
    retry::RetryPolicy,
    seal::{KeyRing, Sealed, SealedAt},
};
use rand::{SeedableRng, rngs::StdRng};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);
pub(super) const VERSION: DirectoryVersion = DirectoryVersion { epoch: 1, seq: 9 };

pub(super) fn tenant() -> TenantId {
    TenantId::from_trusted("ten_1")
}

pub(super) fn endpoint() -> EndpointId {
    EndpointId::from_trusted("ep_1")
}

pub(super) fn message() -> MessageId {
    MessageId::from_trusted("msg_1")
}

pub(super) fn replayed() -> Run {
    Run::replay(JobId::from_trusted("job_1"), 17)
}

fn coordinates(topic: &str) -> SourceCoordinates {
    SourceCoordinates { topic: topic.into(), partition: 3, offset: i64::MAX }
}

pub(super) fn delivery(run: Run) -> Delivery {
    Delivery {
        message_id: message(),
        run,
        kind: DeliveryKind::Live,
        event_id: EventId::from_trusted("4:shop2:e1"),
        tenant: tenant(),
        endpoint: endpoint(),
        subscription: SubscriptionId::from_trusted("sub_1"),
        event_type: "order.created".to_owned(),
        ordering_key: Some("customer 7".to_owned()),
        source: coordinates("orders"),
        content_type: "application/json".to_owned(),
        headers: vec![Header { name: "ce-id".to_owned(), value: "e1".to_owned() }],
        body: Bytes::from_static(b"{\"a\":1.10}\0\xff"),
        method: Method::Put,
        path_suffix: "contacts/ann%40example.com".to_owned(),
    }
}

pub(super) fn dead_letter() -> DeadLetter {
    DeadLetter {
        delivery: delivery(Run::LIVE),
        attempts: 3,
        error: ErrorClass::HttpServerError,
        error_message: None,
        last_status: Some(503),
        response_excerpt: Some("no".to_owned()),
        matched_at: NOW,
        first_attempt_at: Some(NOW),
        at: NOW,
        traceparent: None,
    }
}

/// One event of each kind, with all coordinates that it may have.
pub(super) fn delivery_events() -> Vec<DeliveryEvent> {
    let routing = Routing {
        attempt: Attempt::FIRST,
        first_attempt_at: None,
        not_before: None,
        matched_at: NOW,
        version: Some(VERSION),
        generation: 0,
        priority: Priority::Normal,
        traceparent: None,
    };
    let bodies = [
        DeliveryEventBody::Attempted(Attempted {
            started_at: NOW,
            duration_us: 1_500,
            status: None,
            error: Some(ErrorClass::Dns),
            error_message: Some("no such host".to_owned()),
            response_excerpt: None,
            next: AfterAttempt::Retry,
            next_attempt_at: Some(NOW),
            request_headers: vec![Header { name: "webhook-id".to_owned(), value: "msg_1".to_owned() }],
            response_headers: vec![Header { name: "retry-after".to_owned(), value: "7".to_owned() }],
            phases: Some(Phases { dns_us: Some(300), connect_us: None, tls_us: None, wait_us: Some(1_200) }),
        }),
        DeliveryEventBody::Parked(Parked { reason: ParkReason::LaneFull, until: NOW }),
        DeliveryEventBody::DeadLettered(DeadLettered { error: ErrorClass::PayloadTooLarge, error_message: None }),
        DeliveryEventBody::Cancelled(Cancelled { reason: CancelReason::EndpointDeleted }),
        DeliveryEventBody::Held(Held { reason: HoldReason::BreakerOpen }),
        DeliveryEventBody::Skipped(Skipped { before: NOW }),
    ];
    let event = |body| DeliveryEvent {
        held: Some(coordinates("postrider.held")),
        stored: Some(coordinates("postrider.deliveries")),
        ..DeliveryEvent::of(&delivery(replayed()), &routing, NOW, body)
    };
    bodies.into_iter().map(event).collect()
}

pub(super) fn sealed() -> Sealed {
    let mut rng = StdRng::seed_from_u64(7);
    let keys = KeyRing::parse(&KeyRing::generate_text(&mut rng)).unwrap();
    let at = SealedAt { tenant: &tenant(), entity: &(&endpoint()).into(), purpose: "test", version: 1 };
    keys.seal(b"secret", at, &mut rng)
}

/// One body of each kind.
pub(super) fn config_bodies() -> Vec<ConfigBody> {
    let filter = r#"{"all":[{"field":"data.total","operator":"greater_than","value":100.50}]}"#;
    let mapping = r#"{"body":{"total":"$.data.total","rate":1.10}}"#;
    vec![
        ConfigBody::Tenant(Tenant::new(tenant(), "Acme")),
        ConfigBody::Endpoint(Box::new(Endpoint {
            id: endpoint(),
            tenant: tenant(),
            url: sealed(),
            origin: "https://example.com".to_owned(),
            enabled: true,
            enabled_version: 4,
            timeout_ms: 30_000,
            retry: RetryPolicy::default(),
            secrets: vec![EndpointSecret {
                id: SecretId::from_trusted("sec_1"),
                sealed: sealed(),
                expires_at: Some(NOW),
            }],
            settings: EndpointSettings {
                paused: true,
                ca: Some("pem".to_owned()),
                client_identity: Some(sealed()),
                rate_limit: Some(RateLimit::new(Some(10), None, None).unwrap()),
                ..EndpointSettings::default()
            },
        })),
        ConfigBody::Subscription(Subscription {
            id: SubscriptionId::from_trusted("sub_1"),
            tenant: tenant(),
            endpoint: endpoint(),
            event_types: vec!["order.*".parse().unwrap(), "*".parse().unwrap()],
            filter: Some(serde_json::from_str(filter).unwrap()),
            mapping: Some(serde_json::from_str(mapping).unwrap()),
            created_at: NOW,
        }),
        ConfigBody::EventType(Box::new(EventType {
            id: EventTypeId::from_trusted("ety_1"),
            name: "order.created".to_owned(),
            group: "order".to_owned(),
            description: "An order was placed.".to_owned(),
            schema: Some(JsonText::parse(r#"{"maximum": 18446744073709551616.10, "enum": [1]}"#).unwrap()),
            validation: ValidationMode::Reject,
            archived: true,
        })),
        ConfigBody::Deleted(Deleted { id: (&endpoint()).into(), entity: EntityKind::Endpoint, at: NOW }),
        ConfigBody::Deleted(Deleted {
            id: (&EventTypeId::from_trusted("ety_1")).into(),
            entity: EntityKind::EventType,
            at: NOW,
        }),
    ]
}

/// A state with everything, numbers at their largest.
pub(super) fn endpoint_state() -> EndpointState {
    EndpointState {
        endpoint: endpoint(),
        tenant: tenant(),
        term: 7,
        failing: FailureRecord { since: Some(NOW), failures: u32::MAX },
        breaker: Some(BreakerSnapshot { opens: u32::MAX, open_until: NOW }),
        disabled: Some(AutoDisabled { reason: DisableReason::Gone, enabled_version: 4, at: NOW }),
        holding: Some(Holding {
            position: 10,
            done: vec![1, 0, 255],
            whole: true,
            blocked: vec![BlockedKey {
                key: "customer 7".to_owned(),
                from_offset: 12,
                attempt: Attempt::FIRST.next(),
                first_attempt_at: Some(NOW),
                next_at: None,
                enabled_version: 4,
            }],
        }),
    }
}

/// One source of each kind.
pub(super) fn replay_sources() -> Vec<ReplaySource> {
    let ranges = OffsetRanges([(0, OffsetRange { from: 3, to: 9 }), (11, OffsetRange { from: 0, to: 1 })].into());
    vec![
        ReplaySource::DeadLetters(DeadLetterQuery {
            messages: Some(vec![message()]),
            error: Some(ErrorClass::Timeout),
            since: Some(NOW),
            ranges: ranges.clone(),
            ..DeadLetterQuery::default()
        }),
        ReplaySource::Rejected(RejectedQuery {
            source: Some("shop".to_owned()),
            ranges: ranges.clone(),
            ..RejectedQuery::default()
        }),
        ReplaySource::Backfill(Backfill {
            source: "shop".to_owned(),
            endpoint: endpoint(),
            subscription: Some(SubscriptionId::from_trusted("sub_1")),
            version: VERSION,
            since: NOW,
            until: None,
            ranges,
        }),
    ]
}
