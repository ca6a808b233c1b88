//! How fast a job may feed: its own cap, and not while the dispatchers are behind.

use std::{collections::HashMap, time::Duration};

use postrider_domain::{
    Monotonic, RateLimit,
    limiter::Limiter,
    replay::{MAX_RATE_PER_SECOND, ReplayJob},
};
use tokio::time::Instant;

/// Records that may wait in a partition of `postrider.deliveries`: past it nothing is fed to it.
pub(super) const MAX_LAG_RECORDS: i64 = 10_000;

/// Lets deliveries through, each in its turn.
#[derive(Debug)]
pub(super) struct Gate {
    limiter: Limiter,
    started: Instant,
    /// Turns that were taken for the deliveries that wait now.
    taken: usize,
    /// By partition, as looked up last and counted since; none while nobody can tell.
    lags: Option<HashMap<i32, i64>>,
}

impl Gate {
    /// A gate with the job's cap, shut until it is told how far the dispatchers are behind.
    pub(super) fn new(job: &ReplayJob) -> Self {
        let rate = job.rate_per_second.clamp(1, MAX_RATE_PER_SECOND);
        // A tenth of a second's worth at once: a burst of a whole second would be twice the cap in the first one.
        let limit = RateLimit::new(Some(rate), None, Some((rate / 10).max(1))).expect("the rate is in range");
        Self { limiter: Limiter::new(&limit), started: Instant::now(), taken: 0, lags: None }
    }

    /// Takes note of how far the dispatchers are behind.
    pub(super) fn behind(&mut self, lags: Option<HashMap<i32, i64>>) {
        self.lags = lags;
    }

    /// Whether one of these partitions has too much before it, or might have.
    pub(super) fn is_braked(&self, targets: &[i32]) -> bool {
        let Some(lags) = &self.lags else { return true };
        targets.iter().any(|target| lags.get(target).copied().unwrap_or(0) > MAX_LAG_RECORDS)
    }

    /// Waits for the turn of one delivery to each of `targets`. Stays shut while braked: whoever waits asks again once
    /// more is known. Cancel-safe.
    pub(super) async fn turn(&mut self, targets: &[i32]) {
        if self.is_braked(targets) {
            return std::future::pending().await;
        }
        while self.taken < targets.len() {
            match self.limiter.take(Monotonic::from_elapsed(self.started.elapsed())) {
                Ok(()) => self.taken += 1,
                // Timers are no finer than a millisecond.
                Err(at) => tokio::time::sleep_until(self.started + at.elapsed() + Duration::from_millis(1)).await,
            }
        }
        self.taken = 0;
        for target in targets {
            if let Some(lag) = self.lags.as_mut().and_then(|lags| lags.get_mut(target)) {
                *lag += 1;
            }
        }
    }
}
