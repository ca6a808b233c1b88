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
        } else if routing.generation < self.superseded_below {
            // Also of what was cancelled later: what went ahead is the delivery, and is cancelled once.
            Some(CancelReason::Superseded)
        } else if self.cancelled {
            Some(CancelReason::Requested)
        } else {
            None
        }
    }
}

/// The key of an override's record.
pub fn override_key(message_id: &MessageId, run: &Run) -> String {
    format!("{message_id}/{run}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attempt, Priority};

    #[test]
    fn of_what_was_sent_ahead_and_cancelled_one_record_ends_as_cancelled() {
        let now = Timestamp::from_millis(100);
        let (superseded, requested) = (Some(CancelReason::Superseded), Some(CancelReason::Requested));
        // Whether it is cancelled, below which generation it is superseded, the record's generation, and its end.
        for (cancelled, superseded_below, generation, end) in [
            (false, 0, 0, None),
            (true, 0, 0, requested),
            (false, 2, 1, superseded),
            (false, 2, 2, None),
            (true, 2, 1, superseded),
            (true, 2, 2, requested),
        ] {
            let order = |until| Override {
                message_id: MessageId::from_trusted("msg_1"),
                run: Run::LIVE,
                cancelled,
                superseded_below,
                until: Timestamp::from_millis(until),
            };
            let routing = Routing {
                attempt: Attempt::FIRST,
                first_attempt_at: None,
                not_before: None,
                matched_at: Timestamp::EPOCH,
                version: None,
                generation,
                priority: Priority::Normal,
                traceparent: None,
            };
            assert_eq!(order(101).ends(&routing, now), end, "{cancelled} {superseded_below} {generation}");
            assert_eq!(order(100).ends(&routing, now), None, "its time is over");
        }
    }
}
