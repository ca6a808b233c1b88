//! Overrides: what became of a delivery while it waited where nobody can reach it. The records of
//! `postrider.overrides`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{MessageId, Routing, Run, Timestamp, delivery_event::CancelReason};

/// How long an override is kept: longer than anything waits (30 days in `held`, after a tier).
pub const OVERRIDE_KEPT: Duration = Duration::from_hours(32 * 24);

/// An order about one delivery. Keyed by [`override_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The delivery's message id.
    pub message_id: MessageId,
    /// The delivery's run.
    pub run: Run,
    /// Whether it is not wanted any more.
    pub cancelled: bool,
    /// What waits of a generation below this is superseded: it was sent ahead of its time. 0: none is.
    pub superseded_below: u32,
    /// When this is forgotten (broker time).
    pub until: Timestamp,
}

impl Override {
    /// Why the delivery is to end where it is met, if it is.
    pub fn ends(&self, routing: &Routing, now: Timestamp) -> Option<CancelReason> {
        if now >= self.until {
            None
        } else if self.cancelled {
            Some(CancelReason::Requested)
        } else if routing.generation < self.superseded_below {
            Some(CancelReason::Superseded)
        } else {
            None
        }
    }
}

/// The key of an override's record.
pub fn override_key(message_id: &MessageId, run: &Run) -> String {
    format!("{message_id}/{run}")
}
