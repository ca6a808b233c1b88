//! What deliveries come to, counted: what happened, how often it failed and why, and how long it took.

use std::collections::BTreeMap;

use crate::{
    DeliveryEvent, DeliveryEventBody, DeliveryKind, ErrorClass,
    delivery_event::{AfterAttempt, CancelReason, HeldRange, RangeReason},
    histogram::Histogram,
};

/// Counts of one endpoint, tenant or deployment over some time. Adding two is counting together.
///
/// Deliveries are counted when they end, attempts when they are made; each run of a message is a delivery of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were made. One that failed because nothing could leave the process counts for nobody.
    pub attempts: u64,
    /// Those that failed.
    pub failed_attempts: u64,
    /// Deliveries that were answered with 2xx.
    pub delivered: u64,
    /// Deliveries that went to the dead-letter queue.
    pub failed: u64,
    /// Deliveries that were cancelled.
    pub cancelled: u64,
    /// Deliveries that their endpoint was resumed without.
    pub skipped: u64,
    /// Why attempts failed, and deliveries that failed without one.
    pub errors: BTreeMap<ErrorClass, u64>,
    /// How long attempts took, microseconds.
    pub latency: Histogram,
    /// From match to delivery, milliseconds, of what was delivered.
    pub delivery_time: Histogram,
}

impl Tally {
    /// Counts an event. Tests don't count.
    pub fn count(&mut self, event: &DeliveryEvent) {
        if event.kind == DeliveryKind::Test {
            return;
        }
        match &event.body {
            DeliveryEventBody::Attempted(attempted) => {
                if attempted.next == AfterAttempt::Parked {
                    return;
                }
                self.attempts += 1;
                self.latency.record(u64::try_from(attempted.duration_us).unwrap_or(0));
                if let Some(error) = attempted.error {
                    self.failed_attempts += 1;
                    *self.errors.entry(error).or_default() += 1;
                }
                match attempted.next {
                    AfterAttempt::Delivered => {
                        self.delivered += 1;
                        let took = event.at.since(event.matched_at).as_millis();
                        self.delivery_time.record(u64::try_from(took).unwrap_or(u64::MAX));
                    }
                    AfterAttempt::DeadLetter => self.failed += 1,
                    AfterAttempt::Retry | AfterAttempt::Parked | AfterAttempt::Blocked => {}
                }
            }
            DeliveryEventBody::DeadLettered(dead) => {
                self.failed += 1;
                *self.errors.entry(dead.error).or_default() += 1;
            }
            DeliveryEventBody::Cancelled(cancelled) if cancelled.reason != CancelReason::Superseded => {
                self.cancelled += 1;
            }
            DeliveryEventBody::Skipped(_) => self.skipped += 1,
            DeliveryEventBody::Cancelled(_) | DeliveryEventBody::Parked(_) | DeliveryEventBody::Held(_) => {}
        }
    }

    /// Counts the end of many held deliveries at once.
    pub fn count_range(&mut self, range: &HeldRange) {
        let ended = u64::try_from(range.count).unwrap_or(0);
        match range.reason {
            RangeReason::Skipped => self.skipped += ended,
            RangeReason::EndpointDeleted => self.cancelled += ended,
        }
    }

    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.failed_attempts += other.failed_attempts;
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.skipped += other.skipped;
        for (error, count) in &other.errors {
            *self.errors.entry(*error).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.delivery_time.merge(&other.delivery_time);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Deliveries that ended in success or failure.
    pub fn ended(&self) -> u64 {
        self.delivered + self.failed
    }

    /// The share of them that were delivered, 0 to 1; none if there are none.
    pub fn success_rate(&self) -> Option<f64> {
        share(self.delivered, self.ended())
    }

    /// Attempts for each delivery that ended; none if none did.
    pub fn attempts_per_delivery(&self) -> Option<f64> {
        share(self.attempts, self.ended())
    }
}

/// `part` of `whole`; none of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Attempt, EndpointId, EventId, MessageId, Run, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
        delivery_event::{Attempted, Cancelled, DeadLettered, Held, HoldReason, Skipped},
    };

    fn event(body: DeliveryEventBody) -> DeliveryEvent {
        DeliveryEvent {
            message_id: MessageId::from_trusted("msg_1"),
            run: Run::LIVE,
            kind: DeliveryKind::Live,
            attempt: Attempt::FIRST,
            version: None,
            held: None,
            stored: None,
            event_id: EventId::from_trusted("event"),
            event_type: "order.created".to_owned(),
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted("ep_1"),
            subscription: SubscriptionId::from_trusted("sub_1"),
            source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 0 },
            matched_at: Timestamp::from_millis(1_000),
            at: Timestamp::from_millis(1_050),
            body,
        }
    }

    fn attempted(error: Option<ErrorClass>, next: AfterAttempt) -> DeliveryEvent {
        event(DeliveryEventBody::Attempted(Attempted {
            started_at: Timestamp::from_millis(1_040),
            duration_us: 7_000,
            status: None,
            error,
            error_message: None,
            response_excerpt: None,
            next,
            next_attempt_at: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            phases: None,
        }))
    }

    fn counts(tally: &Tally) -> [u64; 6] {
        [tally.attempts, tally.failed_attempts, tally.delivered, tally.failed, tally.cancelled, tally.skipped]
    }

    #[test]
    fn each_event_counts_for_what_it_says() {
        let cancelled = |reason| event(DeliveryEventBody::Cancelled(Cancelled { reason }));
        let dead = DeadLettered { error: ErrorClass::MappingFailed, error_message: None };
        let cases = [
            (attempted(None, AfterAttempt::Delivered), [1, 0, 1, 0, 0, 0]),
            (attempted(Some(ErrorClass::Timeout), AfterAttempt::Retry), [1, 1, 0, 0, 0, 0]),
            (attempted(Some(ErrorClass::Timeout), AfterAttempt::Blocked), [1, 1, 0, 0, 0, 0]),
            (attempted(Some(ErrorClass::Timeout), AfterAttempt::DeadLetter), [1, 1, 0, 1, 0, 0]),
            (attempted(Some(ErrorClass::Connect), AfterAttempt::Parked), [0; 6]),
            (event(DeliveryEventBody::DeadLettered(dead)), [0, 0, 0, 1, 0, 0]),
            (cancelled(CancelReason::Requested), [0, 0, 0, 0, 1, 0]),
            (cancelled(CancelReason::Superseded), [0; 6]),
            (event(DeliveryEventBody::Skipped(Skipped { before: Timestamp::EPOCH })), [0, 0, 0, 0, 0, 1]),
            (event(DeliveryEventBody::Held(Held { reason: HoldReason::Paused })), [0; 6]),
        ];
        let mut all = Tally::default();
        for (event, expected) in cases {
            let mut tally = Tally::default();
            tally.count(&event);
            assert_eq!(counts(&tally), expected, "{:?}", event.body);
            assert_eq!(tally.is_empty(), expected == [0; 6]);
            all.merge(&tally);
        }
        assert_eq!(counts(&all), [4, 3, 1, 2, 1, 1]);
        assert_eq!(all.errors, BTreeMap::from([(ErrorClass::Timeout, 3), (ErrorClass::MappingFailed, 1)]));
        assert_eq!((all.latency.count(), all.latency.max(), all.delivery_time.max()), (4, 7_000, 50));
        assert_eq!((all.success_rate(), all.attempts_per_delivery()), (Some(1.0 / 3.0), Some(4.0 / 3.0)));
        assert_eq!(Tally::default().success_rate(), None);
    }

    #[test]
    fn a_test_does_not_count() {
        let mut tally = Tally::default();
        tally.count(&DeliveryEvent { kind: DeliveryKind::Test, ..attempted(None, AfterAttempt::Delivered) });
        assert!(tally.is_empty());
    }

    #[test]
    fn a_range_counts_for_all_that_ended_in_it() {
        let mut range = HeldRange {
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted("ep_1"),
            partition: 0,
            from: 10,
            to: 90,
            reason: RangeReason::Skipped,
            count: 70,
            at: Timestamp::EPOCH,
        };
        let mut tally = Tally::default();
        tally.count_range(&range);
        range.reason = RangeReason::EndpointDeleted;
        range.count = 3;
        tally.count_range(&range);
        assert_eq!(counts(&tally), [0, 0, 0, 0, 3, 70]);
    }
}
