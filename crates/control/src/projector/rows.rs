//! What delivery events come to in the log.

use std::collections::{HashMap, hash_map::Entry};

use postrider_domain::{
    DeliveryEvent, DeliveryEventBody, ErrorClass, EventId, MessageId, Run,
    delivery_event::{AfterAttempt, Attempted, CancelReason, Cancelled},
};
use postrider_kafka::held_place;
use postrider_postgres::delivery_log::{AttemptRow, DeliveryRow, DeliveryStatus, HeldAt};

/// The rows of a batch of events: every attempt, and each delivery as far as it has come.
#[derive(Debug, Default)]
pub struct Rows {
    /// The attempts, in the order of their records.
    pub attempts: Vec<AttemptRow>,
    deliveries: HashMap<(MessageId, Run), DeliveryRow>,
}

impl Rows {
    /// Adds an event that was read at `offset` of `partition`.
    pub fn add(&mut self, partition: i32, offset: i64, event: DeliveryEvent) {
        match &event.body {
            DeliveryEventBody::Attempted(attempted) => {
                self.attempts.push(attempt_row(partition, offset, &event, attempted));
            }
            // What was left waiting of a delivery that was sent ahead of its time: the delivery itself goes on.
            DeliveryEventBody::Cancelled(Cancelled { reason: CancelReason::Superseded }) => return,
            _ => {}
        }
        let row = delivery_row(event);
        match self.deliveries.entry((row.message_id.clone(), row.run.clone())) {
            Entry::Vacant(vacant) => drop(vacant.insert(row)),
            Entry::Occupied(mut occupied) => advance(occupied.get_mut(), row),
        }
    }

    /// The deliveries, each once, in the order of their keys.
    pub fn deliveries(&self) -> Vec<DeliveryRow> {
        let mut rows: Vec<DeliveryRow> = self.deliveries.values().cloned().collect();
        rows.sort_unstable_by(|a, b| (&a.message_id, &a.run).cmp(&(&b.message_id, &b.run)));
        rows
    }
}

/// Brings `row` forward to `next`, by the rule by which the database does it too.
fn advance(row: &mut DeliveryRow, next: DeliveryRow) {
    if !next.supersedes(row) {
        return;
    }
    let has_verdict = next.last_status.is_some() || next.last_error.is_some();
    let before = std::mem::replace(row, next);
    row.matched_at = before.matched_at;
    row.payload = row.payload.take().or(before.payload);
    if !has_verdict {
        row.last_status = before.last_status;
        row.last_error = before.last_error;
        row.last_error_message = before.last_error_message;
    }
}

/// How far an event says that its delivery has come.
fn delivery_row(event: DeliveryEvent) -> DeliveryRow {
    let (status, last_status, last_error, next_attempt_at) = match &event.body {
        DeliveryEventBody::Attempted(attempted) => {
            let status = match attempted.next {
                AfterAttempt::Delivered => DeliveryStatus::Delivered,
                AfterAttempt::Retry | AfterAttempt::Parked | AfterAttempt::Blocked => DeliveryStatus::Retrying,
                AfterAttempt::DeadLetter => DeliveryStatus::Failed,
            };
            (status, attempted.status, attempted.error, attempted.next_attempt_at)
        }
        DeliveryEventBody::Parked(parked) => (DeliveryStatus::Waiting, None, None, Some(parked.until)),
        DeliveryEventBody::DeadLettered(dead) => (DeliveryStatus::Failed, None, Some(dead.error), None),
        DeliveryEventBody::Held(_) => (DeliveryStatus::Held, None, None, None),
        DeliveryEventBody::Skipped(_) => (DeliveryStatus::Skipped, None, None, None),
        DeliveryEventBody::Cancelled(_) => (DeliveryStatus::Cancelled, None, None, None),
    };
    let last_error_message = message(&event.body).map(str::to_owned).map(storable);
    // Where it was held, it stands for longer.
    let payload = event.held.clone().or(event.stored);
    let held = event.held.as_ref().filter(|_| status == DeliveryStatus::Held);
    DeliveryRow {
        rank: rank(status, &event.body),
        held: held.map(|at| HeldAt { partition: held_place(&at.topic, at.partition), offset: at.offset }),
        message_id: event.message_id,
        run: event.run,
        tenant: event.tenant,
        endpoint: event.endpoint,
        subscription: event.subscription,
        event_id: storable_id(event.event_id),
        event_type: storable(event.event_type),
        kind: event.kind,
        source: event.source,
        status,
        attempt: i32::try_from(event.attempt.get()).unwrap_or(i32::MAX),
        last_status,
        last_error: last_error.map(class_name),
        last_error_message,
        next_attempt_at,
        matched_at: event.matched_at,
        updated_at: event.at,
        payload,
    }
}

/// Why it failed, in words.
fn message(body: &DeliveryEventBody) -> Option<&str> {
    match body {
        DeliveryEventBody::Attempted(attempted) => attempted.error_message.as_deref(),
        DeliveryEventBody::DeadLettered(dead) => dead.error_message.as_deref(),
        _ => None,
    }
}

/// An attempt that counts for nobody comes again under its number: what follows it is as when it was only parked.
fn rank(status: DeliveryStatus, body: &DeliveryEventBody) -> i16 {
    match body {
        DeliveryEventBody::Attempted(Attempted { next: AfterAttempt::Parked, .. }) => DeliveryStatus::Waiting.rank(),
        _ => status.rank(),
    }
}

fn attempt_row(partition: i32, offset: i64, event: &DeliveryEvent, attempted: &Attempted) -> AttemptRow {
    AttemptRow {
        message_id: event.message_id.clone(),
        run: event.run.clone(),
        log_partition: partition,
        log_offset: offset,
        tenant: event.tenant.clone(),
        attempt: i32::try_from(event.attempt.get()).unwrap_or(i32::MAX),
        started_at: attempted.started_at,
        duration_us: attempted.duration_us,
        status: attempted.status,
        error: attempted.error.map(class_name),
        error_message: attempted.error_message.clone().map(storable),
        response_excerpt: attempted.response_excerpt.clone().map(storable),
        request_headers: attempted.request_headers.clone(),
        response_headers: attempted.response_headers.clone(),
        phases: attempted.phases.unwrap_or_default(),
    }
}

fn class_name(class: ErrorClass) -> String {
    class.as_str().to_owned()
}

/// Postgres' `text` has no place for NUL, which an answer's body may contain.
pub(super) fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The same of an identity: older releases wrote some with it, and one row that can't be written would stop the log.
pub(super) fn storable_id(id: EventId) -> EventId {
    if id.as_str().contains('\0') { EventId::from_trusted(storable(id.to_string())) } else { id }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        Attempt, DeliveryKind, EndpointId, JobId, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
        delivery_event::{DeadLettered, Held, HoldReason, ParkReason, Parked, Skipped},
    };

    use super::*;

    fn event(attempt: u32, at: i64, body: DeliveryEventBody) -> DeliveryEvent {
        DeliveryEvent {
            message_id: MessageId::from_trusted("msg_1"),
            run: Run::LIVE,
            kind: DeliveryKind::Live,
            attempt: Attempt::new(attempt).unwrap(),
            version: None,
            held: None,
            stored: None,
            event_id: EventId::from_trusted("event"),
            event_type: "order.created".to_owned(),
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted("ep_1"),
            subscription: SubscriptionId::from_trusted("sub_1"),
            source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 0 },
            matched_at: Timestamp::from_millis(1),
            at: Timestamp::from_millis(at),
            body,
        }
    }

    fn attempted(status: Option<i32>, error: Option<ErrorClass>, next: AfterAttempt) -> DeliveryEventBody {
        DeliveryEventBody::Attempted(Attempted {
            started_at: Timestamp::from_millis(2),
            duration_us: 3,
            status,
            error,
            error_message: None,
            response_excerpt: Some("a\0b".to_owned()),
            next,
            next_attempt_at: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            phases: None,
        })
    }

    fn parked() -> DeliveryEventBody {
        DeliveryEventBody::Parked(Parked { reason: ParkReason::LaneFull, until: Timestamp::from_millis(99) })
    }

    fn failed() -> DeliveryEventBody {
        attempted(Some(500), Some(ErrorClass::HttpServerError), AfterAttempt::Retry)
    }

    fn delivered() -> DeliveryEventBody {
        attempted(Some(204), None, AfterAttempt::Delivered)
    }

    /// The one delivery that `events` come to.
    fn outcome(events: Vec<DeliveryEvent>) -> DeliveryRow {
        let mut rows = Rows::default();
        for (offset, event) in (0..).zip(events) {
            rows.add(0, offset, event);
        }
        let deliveries = rows.deliveries();
        assert_eq!(deliveries.len(), 1);
        deliveries.into_iter().next().unwrap()
    }

    #[test]
    fn several_events_of_one_delivery_come_to_the_furthest() {
        let row = outcome(vec![event(1, 10, failed()), event(2, 20, delivered()), event(1, 30, parked())]);
        assert_eq!((row.status, row.attempt, row.last_status), (DeliveryStatus::Delivered, 2, Some(204)));
        assert_eq!(row.last_error, None);
    }

    #[test]
    fn parking_keeps_the_answer_of_the_attempt_before() {
        let row = outcome(vec![event(1, 10, failed()), event(2, 20, parked())]);
        assert_eq!((row.status, row.attempt, row.last_status), (DeliveryStatus::Waiting, 2, Some(500)));
        assert_eq!(row.last_error.as_deref(), Some("http_server_error"));
        assert_eq!(row.next_attempt_at, Some(Timestamp::from_millis(99)));
    }

    #[test]
    fn what_ended_without_an_attempt_says_why() {
        let message = Some("mapping/body/who: 'data.name' is missing".to_owned());
        let dead = DeadLettered { error: ErrorClass::MappingFailed, error_message: message.clone() };
        let row = outcome(vec![event(1, 10, DeliveryEventBody::DeadLettered(dead))]);
        assert_eq!((row.status, row.last_error.as_deref()), (DeliveryStatus::Failed, Some("mapping_failed")));
        assert_eq!(row.last_error_message, message);
    }

    #[test]
    fn of_two_parkings_in_one_attempt_the_later_one_counts_whatever_their_order() {
        let later = || {
            let until = Timestamp::from_millis(500);
            event(1, 20, DeliveryEventBody::Parked(Parked { reason: ParkReason::LaneFull, until }))
        };
        for events in [vec![event(1, 10, parked()), later()], vec![later(), event(1, 10, parked())]] {
            assert_eq!(outcome(events).next_attempt_at, Some(Timestamp::from_millis(500)));
        }
    }

    #[test]
    fn a_delivery_is_not_undone_by_a_late_cancellation_of_the_same_attempt() {
        let cancelled = DeliveryEventBody::Cancelled(Cancelled { reason: CancelReason::EndpointDeleted });
        let row = outcome(vec![event(1, 10, delivered()), event(1, 20, cancelled)]);
        assert_eq!(row.status, DeliveryStatus::Delivered);
    }

    fn held(attempt: u32, at: i64, offset: i64) -> DeliveryEvent {
        let body = DeliveryEventBody::Held(Held { reason: HoldReason::Paused });
        let held = Some(SourceCoordinates { topic: "postrider.held".into(), partition: 2, offset });
        DeliveryEvent { held, ..event(attempt, at, body) }
    }

    #[test]
    fn a_held_delivery_keeps_its_place_until_it_leaves_it() {
        let row = outcome(vec![event(1, 10, parked()), held(1, 20, 7)]);
        assert_eq!((row.status, row.held), (DeliveryStatus::Held, Some(HeldAt { partition: 2, offset: 7 })));
        assert_eq!(row.next_attempt_at, None);
        let left = DeliveryEvent { held: held(1, 0, 7).held, ..event(1, 30, failed()) };
        let row = outcome(vec![held(1, 20, 7), left]);
        assert_eq!((row.status, row.held), (DeliveryStatus::Retrying, None));
    }

    #[test]
    fn an_attempt_that_counts_for_nobody_is_retrying_and_can_be_held_afterwards() {
        let mut uncounted = attempted(None, Some(ErrorClass::Connect), AfterAttempt::Parked);
        if let DeliveryEventBody::Attempted(attempted) = &mut uncounted {
            attempted.next_attempt_at = Some(Timestamp::from_millis(77));
        }
        let row = outcome(vec![event(1, 10, uncounted.clone())]);
        assert_eq!((row.status, row.next_attempt_at), (DeliveryStatus::Retrying, Some(Timestamp::from_millis(77))));
        let row = outcome(vec![event(1, 10, uncounted), held(1, 20, 7)]);
        assert_eq!((row.status, row.last_error.as_deref()), (DeliveryStatus::Held, Some("connect")));
    }

    #[test]
    fn a_blocked_head_that_starts_its_attempts_anew_is_followed() {
        let blocked = || attempted(Some(500), Some(ErrorClass::HttpServerError), AfterAttempt::Blocked);
        let row = outcome(vec![event(9, 10, blocked()), held(1, 20, 7)]);
        assert_eq!((row.status, row.attempt), (DeliveryStatus::Held, 1));
        let row = outcome(vec![event(9, 10, blocked()), held(1, 20, 7), event(1, 30, delivered())]);
        assert_eq!((row.status, row.attempt), (DeliveryStatus::Delivered, 1));
        let row = outcome(vec![event(9, 30, blocked()), event(8, 20, failed())]);
        assert_eq!(row.attempt, 9, "what happened before is late");
    }

    #[test]
    fn what_was_resumed_without_is_skipped() {
        let skipped = DeliveryEventBody::Skipped(Skipped { before: Timestamp::from_millis(5) });
        let row = outcome(vec![held(1, 10, 7), event(1, 20, skipped)]);
        assert_eq!((row.status, row.held), (DeliveryStatus::Skipped, None));
    }

    #[test]
    fn what_was_superseded_says_nothing_about_the_delivery_that_went_ahead() {
        let superseded = || DeliveryEventBody::Cancelled(Cancelled { reason: CancelReason::Superseded });
        let row = outcome(vec![event(2, 10, failed()), event(2, 20, superseded())]);
        assert_eq!(row.status, DeliveryStatus::Retrying);
        let mut rows = Rows::default();
        rows.add(0, 0, event(2, 20, superseded()));
        assert!(rows.deliveries().is_empty());
    }

    #[test]
    fn the_payload_is_where_the_delivery_was_seen_last() {
        let at = |topic: &str, offset| SourceCoordinates { topic: topic.into(), partition: 2, offset };
        let stored = DeliveryEvent { stored: Some(at("postrider.deliveries", 4)), ..event(1, 10, parked()) };
        assert_eq!(outcome(vec![stored.clone()]).payload, Some(at("postrider.deliveries", 4)));
        let row = outcome(vec![stored.clone(), held(1, 20, 7)]);
        assert_eq!(row.payload, Some(at("postrider.held", 7)));
        let row = outcome(vec![stored, event(1, 30, delivered())]);
        assert_eq!(row.payload, Some(at("postrider.deliveries", 4)), "what says no place leaves it");
    }

    #[test]
    fn each_run_has_its_own_row_and_every_attempt_is_kept() {
        let mut rows = Rows::default();
        rows.add(3, 7, event(1, 10, failed()));
        rows.add(3, 8, event(1, 11, failed()));
        let replay = Run::replay(JobId::from_trusted("job_1"), 4);
        rows.add(3, 9, DeliveryEvent { run: replay, ..event(1, 12, delivered()) });
        assert_eq!(rows.deliveries().len(), 2);
        let offsets: Vec<i64> = rows.attempts.iter().map(|attempt| attempt.log_offset).collect();
        assert_eq!(offsets, [7, 8, 9]);
    }

    #[test]
    fn nul_in_an_answer_or_an_identity_can_be_stored() {
        let mut rows = Rows::default();
        rows.add(0, 0, DeliveryEvent { event_id: EventId::from_trusted("e\0"), ..event(1, 10, delivered()) });
        assert_eq!(rows.attempts[0].response_excerpt.as_deref(), Some("a\u{fffd}b"));
        assert_eq!(rows.deliveries()[0].event_id.as_str(), "e\u{fffd}");
    }
}
