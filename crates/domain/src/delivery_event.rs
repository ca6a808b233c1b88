//! What happened to a delivery: the records of `postrider.delivery-events`.

use serde::{Deserialize, Serialize};

use crate::{
    Attempt, Delivery, DeliveryKind, DirectoryVersion, EndpointId, ErrorClass, EventId, MessageId, Run,
    SourceCoordinates, SubscriptionId, TenantId, Timestamp, delivery::Header,
};

/// One thing that happened to one delivery. Keyed by message id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeliveryEvent {
    /// The delivery's message id.
    pub message_id: MessageId,
    /// The delivery's run.
    pub run: Run,
    /// Live or test.
    pub kind: DeliveryKind,
    /// The attempt that was made, or would have been next.
    pub attempt: Attempt,
    /// The directory's version that the delivery was matched under.
    pub version: Option<DirectoryVersion>,
    /// Where the delivery stands in `postrider.held`, if it came from or went there.
    pub held: Option<SourceCoordinates>,
    /// Where its record was read in `postrider.deliveries`, if it came from there.
    pub stored: Option<SourceCoordinates>,
    /// The event delivered.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The subscription that decided.
    pub subscription: SubscriptionId,
    /// Where the event was read.
    pub source: SourceCoordinates,
    /// When the event was matched.
    pub matched_at: Timestamp,
    /// When this happened (broker time).
    pub at: Timestamp,
    /// What happened.
    pub body: DeliveryEventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DeliveryEventBody {
    /// An attempt was made.
    Attempted(Attempted),
    /// Put aside for minutes without an attempt.
    Parked(Parked),
    /// Ended without success, and without an attempt of this record's own.
    DeadLettered(DeadLettered),
    /// Ended because it is no longer wanted.
    Cancelled(Cancelled),
    /// Put aside in `postrider.held`, at the event's `held` coordinates, until its endpoint has room.
    Held(Held),
    /// Ended because its endpoint was resumed without it.
    Skipped(Skipped),
}

/// One attempt and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempted {
    /// When the request was started (broker time).
    pub started_at: Timestamp,
    /// From start to verdict, microseconds.
    pub duration_us: i64,
    /// The answer's status; none if there was no answer.
    pub status: Option<i32>,
    /// Why it failed; none for success.
    pub error: Option<ErrorClass>,
    /// The failure in words, host only, no secrets.
    pub error_message: Option<String>,
    /// The first bytes of the answer's body, at most 16 KiB, without what the request had that is secret.
    pub response_excerpt: Option<String>,
    /// What follows.
    pub next: AfterAttempt,
    /// When the next attempt is due, if `next` is a retry.
    pub next_attempt_at: Option<Timestamp>,
    /// The headers that were sent, those that are secret masked.
    #[serde(default)]
    pub request_headers: Vec<Header>,
    /// The answer's headers, masked likewise.
    #[serde(default)]
    pub response_headers: Vec<Header>,
    /// How long its parts took.
    #[serde(default)]
    pub phases: Option<Phases>,
}

/// How long the parts of an attempt took, microseconds. What a connection that was there already had taken is none, as
/// is what was not reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Looking up the host's addresses.
    pub dns_us: Option<i64>,
    /// Connecting to one of them, or through the proxy.
    pub connect_us: Option<i64>,
    /// The TLS handshake.
    pub tls_us: Option<i64>,
    /// From there to the head of the answer, or to the failure.
    pub wait_us: Option<i64>,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterAttempt {
    /// Nothing: it was delivered.
    Delivered,
    /// Another attempt.
    Retry,
    /// The same attempt again: it failed while nothing could leave this process, which counts for nobody.
    Parked,
    /// Waiting in its place: the head of its ordering key.
    Blocked,
    /// The dead-letter queue.
    DeadLetter,
}

/// Put aside without an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Why.
    pub reason: ParkReason,
    /// Until when.
    pub until: Timestamp,
}

/// Why a delivery was parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// The endpoint's lane had no room, or its turn was too far off.
    LaneFull,
    /// The process's memory for waiting deliveries was used up.
    MemoryFull,
    /// The endpoint is not enabled.
    Disabled,
    /// The directory did not reach the delivery's version in time.
    DirectoryBehind,
    /// It came back from a tier long before it was due.
    NotDue,
    /// The endpoint's breaker is open.
    BreakerOpen,
    /// Nothing leaves this process: the egress gate is shut.
    EgressDown,
}

/// Put aside until its endpoint has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Why.
    pub reason: HoldReason,
}

/// Ended because its endpoint was resumed without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What was matched before this was to be skipped.
    pub before: Timestamp,
}

/// Why a delivery was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// The endpoint is paused.
    Paused,
    /// The endpoint is not enabled, or was disabled because it failed for long.
    Disabled,
    /// The endpoint is in maintenance.
    Maintenance,
    /// Its turn is too far off, or too many are parked.
    Backlog,
    /// The endpoint's breaker is open and it has a backlog.
    BreakerOpen,
    /// Its ordering key waits, or its ordered endpoint has no room.
    Order,
    /// The tenant is suspended.
    Suspended,
    /// The tenant is over its quota of deliveries for the day.
    Quota,
}

impl HoldReason {
    /// Its stable name, as in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Maintenance => "maintenance",
            Self::Backlog => "backlog",
            Self::BreakerOpen => "breaker_open",
            Self::Order => "order",
            Self::Suspended => "suspended",
            Self::Quota => "quota",
        }
    }
}

impl ParkReason {
    /// Its stable name, as in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LaneFull => "lane_full",
            Self::MemoryFull => "memory_full",
            Self::Disabled => "disabled",
            Self::DirectoryBehind => "directory_behind",
            Self::NotDue => "not_due",
            Self::BreakerOpen => "breaker_open",
            Self::EgressDown => "egress_down",
        }
    }
}

impl CancelReason {
    /// Its stable name, as in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndpointDeleted => "endpoint_deleted",
            Self::Requested => "requested",
            Self::Superseded => "superseded",
        }
    }
}

/// Ended in the dead-letter queue without an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettered {
    /// Why.
    pub error: ErrorClass,
    /// Why, in words.
    pub error_message: Option<String>,
}

/// Ended because it is no longer wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Why.
    pub reason: CancelReason,
}

/// Why a delivery was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Its endpoint was deleted.
    EndpointDeleted,
    /// Somebody asked for it.
    Requested,
    /// It was sent ahead of its time; this is what was left waiting.
    Superseded,
}

impl DeliveryEvent {
    /// That `body` happened at `at` to `delivery` in its `attempt`.
    pub fn of(delivery: &Delivery, routing: &crate::Routing, at: Timestamp, body: DeliveryEventBody) -> Self {
        Self {
            message_id: delivery.message_id.clone(),
            run: delivery.run.clone(),
            kind: delivery.kind,
            attempt: routing.attempt,
            version: routing.version,
            held: None,
            stored: None,
            event_id: delivery.event_id.clone(),
            event_type: delivery.event_type.clone(),
            tenant: delivery.tenant.clone(),
            endpoint: delivery.endpoint.clone(),
            subscription: delivery.subscription.clone(),
            source: delivery.source.clone(),
            matched_at: routing.matched_at,
            at,
            body,
        }
    }
}

/// The end of many held deliveries of one endpoint at once: a record of `postrider.delivery-events`, keyed by
/// endpoint id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRange {
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The held topic's partition, by a number that no other generation of the topic has.
    pub partition: i32,
    /// The first offset of the range.
    pub from: i64,
    /// The offset after its last.
    pub to: i64,
    /// How the endpoint's deliveries in the range that had not ended have ended now.
    pub reason: RangeReason,
    /// How many those are.
    pub count: i64,
    /// When this happened (broker time).
    pub at: Timestamp,
}

/// Why a range of held deliveries ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeReason {
    /// The endpoint was resumed without them.
    Skipped,
    /// The endpoint was deleted.
    EndpointDeleted,
}

/// An entry of the dead-letter queue. Keyed by endpoint id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The delivery, whole.
    pub delivery: Delivery,
    /// How many attempts were made.
    pub attempts: i32,
    /// Why it ended.
    pub error: ErrorClass,
    /// Why, in words.
    pub error_message: Option<String>,
    /// The last answer's status.
    pub last_status: Option<i32>,
    /// The first bytes of the last answer's body.
    pub response_excerpt: Option<String>,
    /// When the event was matched.
    pub matched_at: Timestamp,
    /// When the first attempt was made.
    pub first_attempt_at: Option<Timestamp>,
    /// When it ended.
    pub at: Timestamp,
    /// W3C trace context, if there was one.
    pub traceparent: Option<String>,
}

impl DeadLetter {
    /// Of a delivery that ends at `at` before the attempt that `routing` names.
    pub fn before_attempt(
        delivery: Delivery,
        routing: &crate::Routing,
        error: ErrorClass,
        message: String,
        at: Timestamp,
    ) -> Self {
        Self {
            delivery,
            attempts: i32::try_from(routing.attempt.get() - 1).unwrap_or(i32::MAX),
            error,
            error_message: Some(message),
            last_status: None,
            response_excerpt: None,
            matched_at: routing.matched_at,
            first_attempt_at: routing.first_attempt_at,
            at,
            traceparent: routing.traceparent.clone(),
        }
    }
}
