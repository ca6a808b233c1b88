//! How far a job has come, and how fast.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    JobId, Timestamp,
    replay::{ReplayProgress, ReplayState},
};

/// Wanted records that are shown.
pub const SAMPLE_RECORDS: usize = 10;
/// How far back rates look.
const MEMORY: Duration = Duration::from_secs(5);

/// What one record came to, once all of it is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Whether it is wanted.
    pub matched: bool,
    /// Whether it is wanted and can't be replayed.
    pub unavailable: bool,
    /// Deliveries that were made of it.
    pub sent: usize,
}

/// Keeps a job's progress.
#[derive(Debug)]
pub struct Tally {
    progress: ReplayProgress,
    /// The offsets after the last of each partition, as far as they are known.
    ends: BTreeMap<i32, i64>,
    measured_at: Timestamp,
    sent: Meter,
    read: Meter,
}

impl Tally {
    /// A job that begins, or goes on where `earlier` ended.
    pub fn new(job: JobId, earlier: Option<ReplayProgress>, now: Timestamp) -> Self {
        let fresh = ReplayProgress {
            job,
            state: ReplayState::Running,
            message: None,
            next: BTreeMap::new(),
            seen: 0,
            matched: 0,
            sent: 0,
            unavailable: 0,
            remaining: 0,
            rate: 0.0,
            seconds_left: None,
            sample: Vec::new(),
            at: now,
        };
        let progress = earlier.unwrap_or(fresh);
        let (sent, read) = (Meter::new(progress.sent), Meter::new(progress.seen));
        Self { progress, ends: BTreeMap::new(), measured_at: now, sent, read }
    }

    /// Takes note that `partition` is read from `from` up to `to`. Answers where to go on.
    pub fn range(&mut self, partition: i32, from: i64, to: i64) -> i64 {
        self.ends.insert(partition, to);
        let next = self.progress.next.entry(partition).or_insert(from);
        *next = (*next).max(from);
        *next
    }

    /// Takes note that a record, and all below it, is dealt with.
    pub fn pass(&mut self, partition: i32, offset: i64, count: Count) {
        let progress = &mut self.progress;
        progress.next.insert(partition, offset + 1);
        progress.seen += 1;
        progress.matched += i64::from(count.matched);
        progress.unavailable += i64::from(count.unavailable);
        progress.sent += i64::try_from(count.sent).unwrap_or(i64::MAX);
    }

    /// Takes note that a partition has nothing more below its end.
    pub fn finish(&mut self, partition: i32) {
        let progress = &mut self.progress;
        if let (Some(end), Some(next)) = (self.ends.get(&partition), progress.next.get_mut(&partition)) {
            *next = (*next).max(*end);
        }
    }

    /// Shows a wanted record, unless enough are shown.
    pub fn show(&mut self, sample: impl FnOnce() -> String) {
        if self.progress.sample.len() < SAMPLE_RECORDS {
            self.progress.sample.push(sample());
        }
    }

    /// Says what the job waits for, or why it failed.
    pub fn say(&mut self, message: Option<String>) {
        self.progress.message = message;
    }

    /// The progress as of `now`, in `state`.
    pub fn at(&mut self, state: ReplayState, now: Timestamp) -> ReplayProgress {
        let passed = now.since(self.measured_at);
        if !passed.is_zero() {
            self.measured_at = now;
            self.sent.measure(self.progress.sent, passed);
            self.read.measure(self.progress.seen, passed);
        }
        let next = &self.progress.next;
        let left = |(partition, end): (&i32, &i64)| {
            let next = next.get(partition).copied().unwrap_or(*end);
            end.saturating_sub(next).max(0)
        };
        let remaining = self.ends.iter().map(left).fold(0, i64::saturating_add);
        let progress = &mut self.progress;
        progress.state = state;
        progress.at = now;
        progress.remaining = remaining;
        progress.rate = if state == ReplayState::Running { self.sent.rate } else { 0.0 };
        progress.seconds_left = if state == ReplayState::Running { seconds(remaining, self.read.rate) } else { None };
        progress.clone()
    }
}

/// How long `remaining` take at so many a second.
fn seconds(remaining: i64, rate: f64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
    (rate > 0.0).then(|| (remaining as f64 / rate).ceil() as i64)
}

/// An exponentially weighted moving average of how fast a number grows.
#[derive(Debug)]
struct Meter {
    before: i64,
    /// A second.
    rate: f64,
    started: bool,
}

impl Meter {
    fn new(before: i64) -> Self {
        Self { before, rate: 0.0, started: false }
    }

    fn measure(&mut self, now: i64, passed: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let latest = (now - self.before) as f64 / passed.as_secs_f64();
        self.before = now;
        let weight = 1.0 - (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.rate = if self.started { self.rate + weight * (latest - self.rate) } else { latest };
        self.started = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn tally(earlier: Option<ReplayProgress>) -> Tally {
        Tally::new(JobId::from_trusted("job_1"), earlier, at(0))
    }

    const WANTED: Count = Count { matched: true, unavailable: false, sent: 2 };

    #[test]
    fn counts_add_up_and_what_remains_shrinks() {
        let mut tally = tally(None);
        assert_eq!(tally.range(0, 10, 20), 10);
        assert_eq!(tally.range(1, 0, 5), 0);
        tally.pass(0, 10, WANTED);
        tally.pass(0, 14, Count::default());
        tally.pass(0, 15, Count { matched: true, unavailable: true, sent: 0 });
        let progress = tally.at(ReplayState::Running, at(1_000));
        assert_eq!((progress.seen, progress.matched, progress.sent, progress.unavailable), (3, 2, 2, 1));
        assert_eq!((progress.remaining, progress.next[&0], progress.next[&1]), (4 + 5, 16, 0));
        tally.finish(0);
        tally.finish(1);
        let progress = tally.at(ReplayState::Done, at(2_000));
        assert_eq!((progress.remaining, progress.seconds_left), (0, None));
    }

    #[test]
    fn a_job_goes_on_where_it_was_and_with_its_counts() {
        let mut first = tally(None);
        first.range(3, 0, 100);
        first.pass(3, 40, WANTED);
        first.show(|| "{}".to_owned());
        let progress = first.at(ReplayState::Running, at(1_000));
        let mut second = tally(Some(progress));
        assert_eq!(second.range(3, 0, 100), 41);
        second.pass(3, 41, WANTED);
        let progress = second.at(ReplayState::Running, at(2_000));
        assert_eq!((progress.seen, progress.sent, progress.sample.len()), (2, 4, 1));
    }

    #[test]
    fn a_steady_rate_is_told_and_what_is_left_estimated_by_it() {
        let mut tally = tally(None);
        tally.range(0, 0, 100_000);
        let mut offset = 0;
        for second in 1..=30 {
            for _ in 0..50 {
                tally.pass(0, offset, WANTED);
                offset += 1;
            }
            tally.at(ReplayState::Running, at(second * 1_000));
        }
        let progress = tally.at(ReplayState::Running, at(30_000));
        assert!((progress.rate - 100.0).abs() < 0.1, "{}", progress.rate);
        assert_eq!(progress.seconds_left, Some((100_000 - 1_500) / 50));
        for second in 31..=90 {
            tally.at(ReplayState::Running, at(second * 1_000));
        }
        assert!(tally.at(ReplayState::Running, at(90_001)).rate < 0.01, "a job that waits has no rate");
    }

    #[test]
    fn few_are_shown() {
        let mut tally = tally(None);
        for number in 0..100 {
            tally.show(|| number.to_string());
        }
        assert_eq!(tally.at(ReplayState::Running, at(1)).sample.len(), SAMPLE_RECORDS);
    }

    proptest! {
        #[test]
        fn what_was_read_and_what_remains_make_the_range(
            from in 0..1_000_i64, length in 0..200_i64, stops in prop::collection::vec(any::<bool>(), 200),
        ) {
            let mut tally = tally(None);
            let mut offset = tally.range(0, from, from + length);
            for stop in stops {
                if offset == from + length {
                    break;
                }
                tally.pass(0, offset, WANTED);
                let progress = tally.at(ReplayState::Running, at(offset + 1));
                prop_assert_eq!(progress.seen + progress.remaining, length);
                if stop {
                    tally = Tally::new(JobId::from_trusted("job_1"), Some(progress), at(offset + 1));
                }
                offset = tally.range(0, from, from + length);
            }
        }
    }
}
