//! How many state records a process may write.

use std::time::Duration;

use parking_lot::Mutex;
use postrider_domain::{
    Monotonic,
    limiter::{Limiter, RateLimit},
};
use tokio::time::Instant;

use super::schedule::Urgency;
use crate::dispatcher::uptime::Uptime;

/// Together with the burst at most 1,000 in any second.
const PER_SECOND: u32 = 950;
const BURST: u32 = 50;
/// For how long others wait for a transition that found no room. It asks again sooner, unless its partition is busy.
const PRECEDENCE: Duration = Duration::from_millis(20);

/// At most 1,000 state records a second of a process, transitions first.
pub(in crate::dispatcher) struct StateBudget {
    uptime: Uptime,
    inner: Mutex<Inner>,
}

struct Inner {
    limiter: Limiter,
    /// Before this only transitions go.
    precedence_until: Monotonic,
}

impl StateBudget {
    /// A rested budget.
    pub(in crate::dispatcher) fn new() -> Self {
        let limit = RateLimit::new(Some(PER_SECOND), None, Some(BURST)).expect("the limit is within its bounds");
        let inner = Inner { limiter: Limiter::new(&limit), precedence_until: Monotonic::START };
        Self { uptime: Uptime::begin(), inner: Mutex::new(inner) }
    }

    /// Takes one record. Error: not before this moment, and perhaps not then.
    pub(super) fn take(&self, urgency: Urgency, now: Instant) -> Result<(), Instant> {
        let mut inner = self.inner.lock();
        let now = self.uptime.of(now);
        if urgency != Urgency::Transition && now < inner.precedence_until {
            return Err(self.uptime.instant(inner.precedence_until));
        }
        let taken = inner.limiter.take(now);
        if urgency == Urgency::Transition {
            inner.precedence_until = if taken.is_ok() { Monotonic::START } else { now + PRECEDENCE };
        }
        taken.map_err(|earliest| self.uptime.instant(earliest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn at_most_a_thousand_go_in_a_second() {
        let (budget, began) = (StateBudget::new(), Instant::now());
        let mut taken = 0;
        while began.elapsed() < Duration::from_secs(1) {
            match budget.take(Urgency::Position, Instant::now()) {
                Ok(()) => taken += 1,
                Err(at) => tokio::time::sleep_until(at).await,
            }
        }
        assert!((990..=1_000).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_goes_to_a_transition_before_others() {
        let budget = StateBudget::new();
        while budget.take(Urgency::Counters, Instant::now()).is_ok() {}
        assert!(budget.take(Urgency::Transition, Instant::now()).is_err());
        tokio::time::advance(Duration::from_millis(5)).await;
        assert!(budget.take(Urgency::Position, Instant::now()).is_err());
        assert!(budget.take(Urgency::Transition, Instant::now()).is_ok());
        assert!(budget.take(Urgency::Position, Instant::now()).is_ok());
    }
}
