//! Whether the process itself is late: has more to do than its processors get done.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::Gauge;
use tokio::time::Instant;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(50);
/// A timer that is so late was not late by itself: work stands in line.
const LATE: Duration = Duration::from_millis(5);

/// How late timers are. Clones share it.
///
/// While the process is late, requests take long whatever their endpoints do, and reading on helps nobody.
#[derive(Debug, Clone, Default)]
pub(super) struct Lateness(Arc<AtomicU64>);

impl Lateness {
    /// Measures for as long as somebody may ask.
    pub(super) fn measured() -> Self {
        let this = Self::default();
        tokio::spawn(measure(Arc::downgrade(&this.0), metrics::gauge!("postrider_dispatcher_late_seconds")));
        this
    }

    /// Whether it is late.
    pub(super) fn is_late(&self) -> bool {
        u128::from(self.0.load(Ordering::Relaxed)) > LATE.as_micros()
    }

    /// Answers the worst of the last few, fading.
    fn observe(micros: &AtomicU64, late: Duration) -> Duration {
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let worst = late.max(micros.load(Ordering::Relaxed) / 4 * 3);
        micros.store(worst, Ordering::Relaxed);
        Duration::from_micros(worst)
    }
}

async fn measure(micros: Weak<AtomicU64>, gauge: Gauge) {
    loop {
        let due = Instant::now() + INTERVAL;
        tokio::time::sleep_until(due).await;
        let Some(micros) = micros.upgrade() else { return };
        let worst = Lateness::observe(&micros, due.elapsed());
        gauge.set(worst.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_late_is_late_for_a_while() {
        let lateness = Lateness::measured();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!lateness.is_late());
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(lateness.is_late());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!lateness.is_late());
    }
}
