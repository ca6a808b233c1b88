//! The process's own time, which the domain's decisions about limits and waits are made in.

use postrider_domain::Monotonic;
use tokio::time::Instant;

/// Counts from one moment of the process: what is compared must come from the same one (copies are).
#[derive(Debug, Clone, Copy)]
pub(super) struct Uptime {
    began: Instant,
}

impl Uptime {
    /// Begins now.
    pub(super) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    /// The time now.
    pub(super) fn now(self) -> Monotonic {
        self.of(Instant::now())
    }

    /// The time at `instant`.
    pub(super) fn of(self, instant: Instant) -> Monotonic {
        Monotonic::from_elapsed(instant.saturating_duration_since(self.began))
    }

    /// When it is `time`.
    pub(super) fn instant(self, time: Monotonic) -> Instant {
        // Nobody waits for longer than this, and an instant that far off can't be computed on every platform.
        const FAR: std::time::Duration = std::time::Duration::from_hours(24 * 365);
        self.began.checked_add(time.elapsed()).unwrap_or_else(|| Instant::now() + FAR)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_the_clock_and_back() {
        let uptime = Uptime::begin();
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert_eq!(uptime.now(), Monotonic::from_elapsed(Duration::from_millis(1_500)));
        assert_eq!(uptime.instant(uptime.now()), Instant::now());
        assert!(uptime.instant(Monotonic::from_elapsed(Duration::MAX)) > Instant::now());
    }
}
