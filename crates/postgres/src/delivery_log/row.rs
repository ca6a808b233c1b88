//! The rows of the log.

use std::{fmt, str::FromStr};

use postrider_domain::{
    DeliveryKind, EndpointId, EventId, MessageId, Run, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
    delivery::Header, delivery_event::Phases,
};

/// How far one run of a delivery has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// The `webhook-id`.
    pub message_id: MessageId,
    /// Which run of the message.
    pub run: Run,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Whom it is for.
    pub endpoint: EndpointId,
    /// The subscription that decided.
    pub subscription: SubscriptionId,
    /// The event that it carries.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: String,
    /// Live or test.
    pub kind: DeliveryKind,
    /// Where the event was read.
    pub source: SourceCoordinates,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Its place among what can happen in one attempt: mostly [`DeliveryStatus::rank`].
    pub rank: i16,
    /// Where it stands in `postrider.held`, if that is where it is.
    pub held: Option<HeldAt>,
    /// The attempt that was made last or, if none followed it, comes next. From 1.
    pub attempt: i32,
    /// The status of the last answer.
    pub last_status: Option<i32>,
    /// The class of the last failure, as `ErrorClass::as_str` names it.
    pub last_error: Option<String>,
    /// The same in words.
    pub last_error_message: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// When the event was matched.
    pub matched_at: Timestamp,
    /// When `status` came about.
    pub updated_at: Timestamp,
    /// Where its own record was seen last, with what is sent.
    pub payload: Option<SourceCoordinates>,
}

/// A place in `postrider.held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldAt {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Put aside without an attempt; goes on by itself.
    Waiting,
    /// Put aside in `postrider.held` until its endpoint has room.
    Held,
    /// An attempt failed and another one is due.
    Retrying,
    /// In the dead-letter queue.
    Failed,
    /// Its endpoint was resumed without it.
    Skipped,
    /// No longer wanted.
    Cancelled,
    /// Answered with 2xx.
    Delivered,
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a delivery's status: expected waiting, held, retrying, failed, skipped, cancelled or \
     delivered"
)]
pub struct UnknownStatus(String);

impl DeliveryStatus {
    /// Its name, as stored and as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Delivered => "delivered",
        }
    }

    /// Its place among what can happen in one attempt: a row changes only forward in (attempt, rank).
    /// 0 is left to deliveries that were only matched, which have no row.
    pub fn rank(self) -> i16 {
        match self {
            Self::Waiting | Self::Held => 1,
            Self::Retrying => 2,
            Self::Failed => 3,
            Self::Skipped | Self::Cancelled => 4,
            Self::Delivered => 5,
        }
    }
}

impl FromStr for DeliveryStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        use DeliveryStatus::{Cancelled, Delivered, Failed, Held, Retrying, Skipped, Waiting};
        [Waiting, Held, Retrying, Failed, Skipped, Cancelled, Delivered]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DeliveryRow {
    /// Whether this row takes the place of `other`, a row of the same run: only forward in (attempt, rank),
    /// and between equals the later one. What has used up its attempts and waits until somebody acts counts them from
    /// the first again: after it comes what happened later.
    pub fn supersedes(&self, other: &Self) -> bool {
        let place = |row: &Self| (row.attempt, row.rank, row.updated_at);
        place(self) > place(other) || (other.is_blocked() && self.updated_at > other.updated_at)
    }

    /// Whether it waits until somebody acts.
    fn is_blocked(&self) -> bool {
        self.status == DeliveryStatus::Retrying && self.next_attempt_at.is_none()
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// The delivery's message id.
    pub message_id: MessageId,
    /// The delivery's run.
    pub run: Run,
    /// The partition of `postrider.delivery-events` that its record is in.
    pub log_partition: i32,
    /// Its record's offset there.
    pub log_offset: i64,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Its number, from 1. After a crash one number can be there twice.
    pub attempt: i32,
    /// When the request was started.
    pub started_at: Timestamp,
    /// From start to verdict, microseconds.
    pub duration_us: i64,
    /// The answer's status; none if there was no answer.
    pub status: Option<i32>,
    /// Why it failed, as `ErrorClass::as_str` names it; none for success.
    pub error: Option<String>,
    /// The failure in words.
    pub error_message: Option<String>,
    /// The first bytes of the answer's body.
    pub response_excerpt: Option<String>,
    /// The headers that were sent, secret values masked.
    pub request_headers: Vec<Header>,
    /// The answer's headers, likewise.
    pub response_headers: Vec<Header>,
    /// How long its parts took.
    pub phases: Phases,
}
