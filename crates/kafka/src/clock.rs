//! Broker time: what due times are compared with, so that a wrong local clock can't spin the wheel.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use postrider_domain::Timestamp;
use tokio::time::Instant;

/// A monotonic clock plus the offset learned from the LogAppendTime in acknowledgements. On the embedded
/// broker, whose acknowledgements carry no time, it is the local clock. Clones share what is learned.
#[derive(Debug, Clone)]
pub struct BrokerClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    started_at: Timestamp,
    offset_ms: AtomicI64,
    learns: bool,
}

impl BrokerClock {
    /// A clock that shows local time until it learns better; never, if the broker is `embedded`.
    pub fn new(embedded: bool) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the edge where the wall clock is read, once")]
        let wall = std::time::SystemTime::now();
        let since_epoch = wall.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(Timestamp::EPOCH + since_epoch, !embedded)
    }

    fn starting_at(started_at: Timestamp, learns: bool) -> Self {
        Self(Arc::new(Inner { started: Instant::now(), started_at, offset_ms: AtomicI64::new(0), learns }))
    }

    /// The time at the broker, as far as it is known.
    pub fn now(&self) -> Timestamp {
        self.local_at(Instant::now(), self.0.offset_ms.load(Ordering::Relaxed))
    }

    fn local_at(&self, instant: Instant, offset_ms: i64) -> Timestamp {
        let elapsed = instant.duration_since(self.0.started);
        Timestamp::from_millis((self.0.started_at + elapsed).as_millis() + offset_ms)
    }

    /// Takes note that the broker appended a record at `appended`, between `sent` and `acknowledged`: the
    /// offset moves just as far as that demands.
    pub fn learn(&self, sent: Instant, acknowledged: Instant, appended: Timestamp) {
        if !self.0.learns {
            return;
        }
        let at_least = appended.as_millis() - self.local_at(acknowledged, 0).as_millis();
        let at_most = appended.as_millis() - self.local_at(sent, 0).as_millis() + 1;
        let known = self.0.offset_ms.load(Ordering::Relaxed);
        let learned = known.clamp(at_least, at_most.max(at_least));
        if learned != known {
            self.0.offset_ms.store(learned, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_error_is_gone_after_one_acknowledgement() {
        let broker = Timestamp::from_millis(10_000_000);
        for error in [3_600_000, -3_600_000] {
            let clock = BrokerClock::starting_at(Timestamp::from_millis(broker.as_millis() + error), true);
            let sent = Instant::now();
            tokio::time::advance(Duration::from_millis(10)).await;
            clock.learn(sent, Instant::now(), broker + Duration::from_millis(5));
            let off = (clock.now().as_millis() - broker.as_millis() - 10).abs();
            assert!(off <= 10, "{off} ms off");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_acknowledgement_that_fits_changes_nothing() {
        let clock = BrokerClock::starting_at(Timestamp::from_millis(1_000), true);
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(10)).await;
        clock.learn(sent, Instant::now(), Timestamp::from_millis(1_004));
        assert_eq!(clock.now(), Timestamp::from_millis(1_010));
    }

    #[tokio::test(start_paused = true)]
    async fn on_the_embedded_broker_broker_time_is_the_local_clock() {
        let clock = BrokerClock::starting_at(Timestamp::from_millis(1_000_000), false);
        clock.learn(Instant::now(), Instant::now(), Timestamp::from_millis(1_234));
        assert_eq!(clock.now(), Timestamp::from_millis(1_000_000));
    }
}
