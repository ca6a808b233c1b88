//! Holds events against the schemas of their types.

use std::sync::atomic::{AtomicI64, Ordering};

use postrider_domain::{
    Timestamp,
    event_type::{CompiledEventType, InvalidSchema, ValidationMode, Violation},
    filter::EventView,
};
use postrider_kafka::RejectReason;

use super::decode::Rejection;
use crate::directory::Directory;

/// How often what does not fit is shown in the log, in milliseconds: one bad producer must not fill it.
const LOG_INTERVAL_MS: i64 = 1_000;

/// What an event's schema says of it.
#[derive(Debug)]
pub(super) enum Finding {
    /// Nothing: it fits, or is not held against any.
    Fits,
    /// It does not fit, and is delivered.
    Reported(Violation),
    /// It does not fit, and is not delivered.
    Rejected(Rejection),
    /// Its type's schema can't be used; it is delivered.
    Unusable(InvalidSchema),
}

/// Holds the event against the schema of its type.
pub(super) fn validate(directory: &Directory, event: &EventView<'_>) -> Finding {
    let Some(compiled) = directory.event_type(&event.event().event_type) else { return Finding::Fits };
    let mode = compiled.event_type().validation;
    match compiled.violation(|| event.data()) {
        Ok(None) => Finding::Fits,
        Ok(Some(found)) if mode == ValidationMode::Reject => Finding::Rejected(rejection(&compiled, &found)),
        Ok(Some(found)) => Finding::Reported(found),
        Err(error) => Finding::Unusable(error.clone()),
    }
}

fn rejection(compiled: &CompiledEventType, found: &Violation) -> Rejection {
    let name = &compiled.event_type().name;
    let message = format!("the data does not fit the schema of '{name}': {found}");
    Rejection { reason: RejectReason::Schema, message }
}

/// Holds the events of one source against their schemas, and says what it finds.
#[derive(Debug)]
pub(super) struct Validator {
    source: String,
    /// Milliseconds since 1970.
    logged_at: AtomicI64,
}

impl Validator {
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), logged_at: AtomicI64::new(i64::MIN) }
    }

    /// Why the event is to be rejected, if it is. What does not fit is counted by type: only types of the catalogue
    /// are validated, so their number is bounded.
    pub(super) fn check(
        &self,
        directory: &Directory,
        event: &EventView<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Option<Rejection> {
        let event_type = event.event().event_type.as_str();
        match validate(directory, event) {
            Finding::Fits => None,
            Finding::Reported(found) => {
                count(event_type, ValidationMode::Report);
                if self.may_log(now()) {
                    let source = &*self.source;
                    tracing::warn!(source, event_type, %found, "an event does not fit its type's schema; it is delivered");
                }
                None
            }
            Finding::Rejected(rejection) => {
                count(event_type, ValidationMode::Reject);
                Some(rejection)
            }
            Finding::Unusable(error) => {
                if self.may_log(now()) {
                    let source = &*self.source;
                    tracing::error!(
                        source,
                        event_type,
                        at = error.at,
                        %error,
                        "the schema of an event type can't be used, its events are delivered unseen; change the schema"
                    );
                }
                None
            }
        }
    }

    fn may_log(&self, now: Timestamp) -> bool {
        let (now, last) = (now.as_millis(), self.logged_at.load(Ordering::Relaxed));
        now.saturating_sub(last) >= LOG_INTERVAL_MS
            && self.logged_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn count(event_type: &str, mode: ValidationMode) {
    metrics::counter!(
        "postrider_schema_violations_total",
        "type" => event_type.to_owned(),
        "mode" => mode.as_str()
    )
    .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_one_a_second() {
        let validator = Validator::new("shop");
        let at = |millis| validator.may_log(Timestamp::from_millis(millis));
        assert_eq!([at(5_000), at(5_999), at(6_000), at(6_500), at(7_000)], [true, false, true, false, true]);
    }
}
