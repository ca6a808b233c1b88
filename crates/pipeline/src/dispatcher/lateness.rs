//! Whether the process itself is late: has more to do than its processors get done.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(20);
/// A timer that is so late was not late by itself: work stands in line.
const LATE: Duration = Duration::from_millis(8);

/// How late timers are. Clones share it.
///
/// While the process is late, requests take long whatever their endpoints do, and reading on helps nobody.
#[derive(Debug, Clone, Default)]
pub(super) struct Lateness(Arc<AtomicU64>);

impl Lateness {
    /// Measures for as long as somebody may ask.
    pub(super) fn measured() -> Self {
        let this = Self::default();
        tokio::spawn(measure(Arc::downgrade(&this.0)));
        this
    }

    /// Whether it is late.
    pub(super) fn is_late(&self) -> bool {
        u128::from(self.0.load(Ordering::Relaxed)) > LATE.as_micros()
    }

    fn observe(micros: &AtomicU64, late: Duration) {
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        // The worst of the last few, fading.
        micros.store(late.max(micros.load(Ordering::Relaxed) / 8 * 7), Ordering::Relaxed);
    }
}

async fn measure(micros: Weak<AtomicU64>) {
    loop {
        let due = Instant::now() + INTERVAL;
        tokio::time::sleep_until(due).await;
        let Some(micros) = micros.upgrade() else { return };
        Lateness::observe(&micros, due.elapsed());
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
