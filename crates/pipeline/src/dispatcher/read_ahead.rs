//! How much of a partition is read before it can be sent.

use std::time::Duration;

use tokio::time::Instant;

/// Deliveries that may always be read before they can be sent to endpoints that take some.
const MIN_READ_AHEAD: usize = 128;
/// How much work may be read ahead, as long as the partition's attempts took of late.
const MAX_WORK: Duration = Duration::from_millis(250);
/// How long attempts are counted before it is known how many there are a second.
const WINDOW: Duration = Duration::from_millis(250);
/// How many deliveries may be read or answered before what was read ahead is counted anew: more where more endpoints
/// have to be asked, so that counting costs each delivery little.
const MIN_COUNT_EVERY: usize = 64;
const MAX_COUNT_EVERY: usize = 4_096;
/// How many endpoints are asked for each delivery.
const ASKED_PER_DELIVERY: usize = 8;

/// Whether enough was read ahead, as far as it was counted. What the process is too slow for stays where it is.
#[derive(Debug)]
pub(super) struct ReadAhead {
    is_enough: bool,
    /// Deliveries that were read or answered since.
    changes: usize,
    /// How many there may be before it is counted anew.
    count_every: usize,
    /// Attempts that were answered in this window, and when it began.
    answered: u32,
    since: Instant,
    /// What is worked off in [`MAX_WORK`].
    work: usize,
}

impl ReadAhead {
    pub(super) fn new(now: Instant) -> Self {
        Self { is_enough: false, changes: 0, count_every: MIN_COUNT_EVERY, answered: 0, since: now, work: 0 }
    }

    /// Whether nothing more needs to be read for now.
    pub(super) fn is_enough(&self) -> bool {
        self.is_enough
    }

    /// A delivery was read. Whether it is time to count.
    pub(super) fn read(&mut self) -> bool {
        self.changes += 1;
        self.changes >= self.count_every
    }

    /// An attempt was answered. Whether it is time to count.
    pub(super) fn answered(&mut self) -> bool {
        self.answered += 1;
        self.read()
    }

    /// So many deliveries wait although their endpoints, of `asked` endpoints, take some.
    pub(super) fn counted(&mut self, ahead: usize, asked: usize, is_late: bool, now: Instant) {
        let elapsed = now.duration_since(self.since);
        if elapsed >= WINDOW {
            let work = u128::from(self.answered) * MAX_WORK.as_micros() / elapsed.as_micros().max(1);
            self.work = usize::try_from(work).unwrap_or(usize::MAX);
            (self.answered, self.since) = (0, now);
        }
        let most = if is_late { MIN_READ_AHEAD } else { self.work.max(MIN_READ_AHEAD) };
        (self.is_enough, self.changes) = (ahead >= most, 0);
        self.count_every = (asked / ASKED_PER_DELIVERY).clamp(MIN_COUNT_EVERY, MAX_COUNT_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_a_second_of_work_is_read_ahead_and_less_by_a_process_that_is_late() {
        let mut now = Instant::now();
        let mut ahead = ReadAhead::new(now);
        assert_eq!((0..64).filter(|_| ahead.read()).count(), 1);
        let is_enough = |ahead: &mut ReadAhead, counted, is_late, now| {
            ahead.counted(counted, 1, is_late, now);
            ahead.is_enough()
        };
        assert!(is_enough(&mut ahead, MIN_READ_AHEAD, false, now), "nothing was answered yet");
        assert!(!is_enough(&mut ahead, MIN_READ_AHEAD - 1, true, now));
        for _ in 0..1_000 {
            ahead.answered();
        }
        now += Duration::from_millis(500);
        assert!(!is_enough(&mut ahead, 499, false, now), "2,000 a second");
        assert!(is_enough(&mut ahead, 500, false, now));
        assert!(is_enough(&mut ahead, MIN_READ_AHEAD, true, now));
    }

    #[test]
    fn it_is_counted_less_often_where_more_endpoints_have_to_be_asked() {
        let now = Instant::now();
        let mut ahead = ReadAhead::new(now);
        for (asked, every) in [(10, 64), (8_000, 1_000), (1_000_000, 4_096)] {
            ahead.counted(0, asked, false, now);
            assert_eq!((1..=5_000).find(|_| ahead.read()), Some(every), "{asked} endpoints");
        }
    }
}
