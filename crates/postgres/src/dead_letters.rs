//! Table `dead_letters`: what stands in the dead-letter queue, and what was done with it.

mod read;
mod write;

use postrider_domain::{EndpointId, EventId, JobId, MessageId, Run, TenantId, Timestamp};

pub use read::{
    DeadLetterCount, DeadLetterFilter, DeadLetterKey, RedriveResult, count, list, of_message, redrive_results,
};
pub use write::{NewMark, forget_before, insert, mark};

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadLetterState {
    /// Nobody has dealt with it.
    Open,
    /// It was delivered anew.
    Redriven,
    /// It was given up.
    Purged,
}

impl DeadLetterState {
    /// Its name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Purged => "purged",
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterRow {
    /// Its message.
    pub message_id: MessageId,
    /// Which run of it.
    pub run: Run,
    /// Whose.
    pub tenant: TenantId,
    /// The endpoint that it was for.
    pub endpoint: EndpointId,
    /// The event.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: String,
    /// How many attempts were made.
    pub attempts: i32,
    /// Why it ended: an error class.
    pub error: String,
    /// Why, in words.
    pub error_message: Option<String>,
    /// The status of the last answer, if there was one.
    pub last_status: Option<i32>,
    /// When the event was matched.
    pub matched_at: Timestamp,
    /// When it was first tried, if it was.
    pub first_attempt_at: Option<Timestamp>,
    /// When it ended.
    pub died_at: Timestamp,
    /// The size of the body that would be sent again.
    pub body_bytes: i64,
    /// The partition of the queue in which it stands.
    pub log_partition: i32,
    /// Its offset there.
    pub log_offset: i64,
    /// What became of it.
    pub state: DeadLetterState,
    /// The replay that delivered it anew, if one did.
    pub job: Option<JobId>,
    /// When it was dealt with.
    pub settled_at: Option<Timestamp>,
}
