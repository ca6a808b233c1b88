//! The breaker's states, and what leads from one to the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::{Monotonic, Timestamp, outcome::Jitter};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// The share of failures, in percent, at which it opens.
    pub failure_percent: u8,
    /// How many tries there must be within the window for that share to count.
    pub min_tries: u32,
    /// How far back tries count: between half of this and all of it.
    pub window: Duration,
    /// How long it is open the first time; each time that a probe fails it is twice as long.
    pub first_open: Duration,
    /// The longest that it is open.
    pub max_open: Duration,
}

impl Default for BreakerConfig {
    /// Half of at least 10 tries within 30 s; open for 1 s, doubling up to 30 s.
    fn default() -> Self {
        Self {
            failure_percent: 50,
            min_tries: 10,
            window: Duration::from_secs(30),
            first_open: Duration::from_secs(1),
            max_open: Duration::from_secs(30),
        }
    }
}

/// How much of an open time jitter takes away at most, so that endpoints that failed together are not probed together.
const JITTER: f64 = 0.2;

/// What a breaker lets through.
#[derive(Debug, PartialEq, Eq)]
pub enum Permit {
    /// It is closed: send.
    Send(Pass),
    /// Its time is over: send this one, and no other until its end is known.
    Probe(Pass),
    /// Nothing before this moment.
    Wait(Monotonic),
    /// Nothing before the probe that is out has ended.
    AwaitProbe,
}

/// The leave to send one request. It goes back with the request's end, and counts only for the state of the breaker
/// under which it was given: what was sent before the breaker opened says nothing once it has.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that is not reported keeps its breaker open for ever"]
pub struct Pass {
    generation: u32,
}

/// What of a breaker that is open or half-open outlives a restart, in broker time; of a closed one, nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerSnapshot {
    /// How many times it opened in a row.
    pub opens: u32,
    /// When the next probe may go.
    pub open_until: Timestamp,
}

/// A circuit breaker: closed, open, or (once its open time is over) half-open, which lets one probe at a time through.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
    /// How many times it opened in a row. Kept for a window after it closed: an endpoint that answers a probe and
    /// fails what follows is not probed each second for ever.
    opens: u32,
    /// Goes up whenever the passes that are out lose their meaning.
    generation: u32,
}

#[derive(Debug, Clone)]
enum State {
    Closed { since: Monotonic, window: Window },
    Open { until: Monotonic, probing: bool },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        let state = State::Closed { since: Monotonic::START, window: Window::default() };
        Self { config, state, opens: 0, generation: 0 }
    }

    /// An open breaker as it was, at a moment that is `now` here and `broker_now` on the brokers.
    pub fn restore(config: BreakerConfig, snapshot: BreakerSnapshot, now: Monotonic, broker_now: Timestamp) -> Self {
        let left = snapshot.open_until.since(broker_now).min(config.max_open);
        let state = State::Open { until: now + left, probing: false };
        Self { config, state, opens: snapshot.opens, generation: 0 }
    }

    /// What to keep of it, at a moment that is `now` here and `broker_now` on the brokers; nothing if it is closed.
    pub fn snapshot(&self, now: Monotonic, broker_now: Timestamp) -> Option<BreakerSnapshot> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until, .. } => {
                let open_until = broker_now + until.since(now) - now.since(until);
                Some(BreakerSnapshot { opens: self.opens, open_until })
            }
        }
    }

    /// Asks to send one request. A pass must be given back by one of the three below.
    pub fn permit(&mut self, now: Monotonic) -> Permit {
        let pass = Pass { generation: self.generation };
        match &mut self.state {
            State::Closed { .. } => Permit::Send(pass),
            State::Open { until, .. } if now < *until => Permit::Wait(*until),
            State::Open { probing: true, .. } => Permit::AwaitProbe,
            State::Open { probing, .. } => {
                *probing = true;
                Permit::Probe(pass)
            }
        }
    }

    /// The request succeeded. Whether that closed the breaker.
    pub fn on_success(&mut self, pass: Pass, now: Monotonic) -> bool {
        if !self.counts(pass) {
            return false;
        }
        match &mut self.state {
            State::Closed { window, .. } => {
                window.record(false, now, self.config.window);
                false
            }
            State::Open { .. } => {
                self.generation = self.generation.wrapping_add(1);
                self.state = State::Closed { since: now, window: Window::default() };
                true
            }
        }
    }

    /// The request failed. Whether that opened the breaker, or opened it again.
    pub fn on_failure(&mut self, pass: Pass, now: Monotonic, jitter: Jitter) -> bool {
        if !self.counts(pass) {
            return false;
        }
        if let State::Closed { since, window } = &mut self.state {
            let tally = window.record(true, now, self.config.window);
            if !tally.reaches(self.config.min_tries, self.config.failure_percent) {
                return false;
            }
            if now.since(*since) >= self.config.window {
                self.opens = 0;
            }
        }
        self.opens = self.opens.saturating_add(1);
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Open { until: now + self.open_for(jitter), probing: false };
        true
    }

    /// The request ended without a verdict (it was abandoned, or failed for a reason that is not the endpoint's). If
    /// it was the probe, another may go.
    pub fn on_ignored(&mut self, pass: Pass) {
        if self.counts(pass)
            && let State::Open { probing, .. } = &mut self.state
        {
            *probing = false;
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// Whether it lets nothing through but probes: it is open or half-open.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// How long it is until a probe may go; none if it is closed, zero if one may go or is out.
    pub fn next_probe_in(&self, now: Monotonic) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until, .. } => Some(until.since(now)),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a pass is spent: nothing can be reported twice")]
    fn counts(&self, pass: Pass) -> bool {
        pass.generation == self.generation
    }

    fn open_for(&self, jitter: Jitter) -> Duration {
        let doublings = self.opens.saturating_sub(1).min(31);
        let full = self.config.first_open.saturating_mul(1 << doublings).min(self.config.max_open);
        full.mul_f64(1.0 - JITTER * jitter.0.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NO_JITTER: Jitter = Jitter(0.0);

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_millis(millis))
    }

    fn sent(breaker: &mut Breaker, now: Monotonic) -> Pass {
        match breaker.permit(now) {
            Permit::Send(pass) => pass,
            other => panic!("{other:?}"),
        }
    }

    fn probed(breaker: &mut Breaker, now: Monotonic) -> Pass {
        match breaker.permit(now) {
            Permit::Probe(pass) => pass,
            other => panic!("{other:?}"),
        }
    }

    /// A breaker that opened at `now`, for one second.
    fn opened(now: Monotonic) -> Breaker {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..10 {
            let pass = sent(&mut breaker, now);
            breaker.on_failure(pass, now, NO_JITTER);
        }
        assert_eq!(breaker.permit(now), Permit::Wait(now + SECOND));
        breaker
    }

    #[test]
    fn it_opens_at_half_of_at_least_ten_tries_within_the_window() {
        // Each try: at which millisecond, whether it failed. What opens it must be the last one.
        let table = [
            ("nine failures", vec![(0, true); 9], false),
            ("ten failures", vec![(0, true); 10], true),
            ("half of ten", [vec![(0, false); 5], vec![(1, true); 5]].concat(), true),
            ("under half of eleven", [vec![(0, false); 6], vec![(1, true); 5]].concat(), false),
            ("nine, and a tenth too late", [vec![(0, true); 9], vec![(30_000, true)]].concat(), false),
            ("nine, and a tenth in the half after", [vec![(14_999, true); 9], vec![(29_999, true)]].concat(), true),
        ];
        for (name, tries, opens) in table {
            let mut breaker = Breaker::new(BreakerConfig::default());
            for (millis, failed) in tries {
                let pass = sent(&mut breaker, at(millis));
                if failed {
                    breaker.on_failure(pass, at(millis), NO_JITTER);
                } else {
                    breaker.on_success(pass, at(millis));
                }
            }
            assert_eq!(breaker.is_open(), opens, "{name}");
        }
    }

    #[test]
    fn half_open_it_lets_one_probe_through_at_a_time_and_closes_when_one_succeeds() {
        let mut breaker = opened(at(0));
        assert_eq!(breaker.permit(at(999)), Permit::Wait(at(1_000)));
        let probe = probed(&mut breaker, at(1_000));
        assert_eq!(breaker.permit(at(1_000)), Permit::AwaitProbe);
        breaker.on_ignored(probe);
        let probe = probed(&mut breaker, at(1_001));
        assert_eq!(breaker.next_probe_in(at(1_001)), Some(Duration::ZERO));
        assert!(breaker.on_success(probe, at(1_002)));
        assert!(!breaker.is_open() && breaker.next_probe_in(at(1_002)).is_none());
        let _ = sent(&mut breaker, at(1_002));
    }

    #[test]
    fn each_failed_probe_doubles_the_open_time_up_to_the_cap() {
        let mut breaker = opened(at(0));
        let mut now = at(0);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(breaker.next_probe_in(now), Some(seconds * SECOND));
            now = now + seconds * SECOND;
            let probe = probed(&mut breaker, now);
            assert!(breaker.on_failure(probe, now, NO_JITTER));
        }
        let probe = probed(&mut breaker, now + 30 * SECOND);
        breaker.on_failure(probe, now, Jitter(1.0));
        assert_eq!(breaker.next_probe_in(now), Some(24 * SECOND), "jitter only takes away");
    }

    #[test]
    fn late_results_of_requests_sent_before_it_opened_change_nothing() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        let mut early: Vec<_> = (0..30).map(|_| sent(&mut breaker, at(0))).collect();
        for _ in 0..10 {
            breaker.on_failure(early.pop().unwrap(), at(100), NO_JITTER);
        }
        assert!(!breaker.on_failure(early.pop().unwrap(), at(200), NO_JITTER));
        assert!(!breaker.on_success(early.pop().unwrap(), at(300)));
        assert_eq!(breaker.permit(at(400)), Permit::Wait(at(1_100)));
        let probe = probed(&mut breaker, at(1_100));
        breaker.on_ignored(early.pop().unwrap());
        assert_eq!(breaker.permit(at(1_100)), Permit::AwaitProbe);
        assert!(breaker.on_success(probe, at(1_200)));
        for pass in early {
            assert!(!breaker.on_failure(pass, at(1_300), NO_JITTER), "of before it opened, once it is closed again");
        }
    }

    #[test]
    fn an_endpoint_that_only_answers_probes_is_probed_ever_less_often() {
        let fail_ten = |breaker: &mut Breaker, now| {
            for _ in 0..10 {
                let pass = sent(breaker, now);
                breaker.on_failure(pass, now, NO_JITTER);
            }
            breaker.next_probe_in(now)
        };
        let mut breaker = opened(at(0));
        let probe = probed(&mut breaker, at(1_000));
        breaker.on_success(probe, at(1_000));
        assert_eq!(fail_ten(&mut breaker, at(2_000)), Some(2 * SECOND));
        let probe = probed(&mut breaker, at(4_000));
        breaker.on_success(probe, at(4_000));
        assert_eq!(fail_ten(&mut breaker, at(34_000)), Some(SECOND), "after a window without opening");
    }

    #[test]
    fn it_outlives_a_restart() {
        let config = BreakerConfig::default();
        let broker = Timestamp::from_millis(1_700_000_000_000);
        let mut breaker = opened(at(50_000));
        let probe = probed(&mut breaker, at(51_000));
        breaker.on_failure(probe, at(51_000), NO_JITTER);
        let snapshot = breaker.snapshot(at(51_500), broker).unwrap();
        assert_eq!(snapshot, BreakerSnapshot { opens: 2, open_until: broker + 3 * SECOND / 2 });
        let stored = serde_json::to_string(&snapshot).unwrap();

        let mut restored = Breaker::restore(config, serde_json::from_str(&stored).unwrap(), at(10), broker + SECOND);
        assert_eq!(restored.permit(at(10)), Permit::Wait(at(510)));
        assert_eq!(restored.snapshot(at(710), broker + 17 * SECOND / 10), Some(snapshot), "also once a probe is due");
        let probe = probed(&mut restored, at(510));
        restored.on_failure(probe, at(510), NO_JITTER);
        assert_eq!(restored.next_probe_in(at(510)), Some(4 * SECOND));

        assert_eq!(Breaker::new(config).snapshot(at(0), broker), None);
        let absurd = BreakerSnapshot { opens: 1, open_until: broker + 1_000 * SECOND };
        assert_eq!(Breaker::restore(config, absurd, at(0), broker).next_probe_in(at(0)), Some(30 * SECOND));
    }

    proptest! {
        #[test]
        fn it_opens_exactly_when_a_naive_count_says_so_and_never_sends_while_open(
            steps in proptest::collection::vec((0..4_000u64, prop::bool::weighted(0.4), 0.0..=1.0f64), 1..400),
        ) {
            let config = BreakerConfig::default();
            let (mut breaker, mut now) = (Breaker::new(config), 0);
            let mut tries: Vec<(u64, bool)> = Vec::new();
            for (gap, failed, jitter) in steps {
                now += gap;
                let (was_open, due) = (breaker.is_open(), breaker.next_probe_in(at(now)) == Some(Duration::ZERO));
                let pass = match breaker.permit(at(now)) {
                    Permit::Send(pass) => { prop_assert!(!was_open); pass }
                    Permit::Probe(pass) => { prop_assert!(was_open && due); pass }
                    Permit::Wait(until) => { prop_assert!(was_open && !due && until > at(now)); continue }
                    Permit::AwaitProbe => panic!("each probe ended"),
                };
                tries.push((now / 15_000, failed));
                let recent: Vec<_> = tries.iter().filter(|(half, _)| half + 1 >= now / 15_000).collect();
                let failures = recent.iter().filter(|(_, failed)| *failed).count();
                let trips = failed && (was_open || (recent.len() >= 10 && 2 * failures >= recent.len()));
                if failed {
                    prop_assert_eq!(breaker.on_failure(pass, at(now), Jitter(jitter)), trips);
                } else {
                    prop_assert_eq!(breaker.on_success(pass, at(now)), was_open);
                }
                prop_assert_eq!(breaker.is_open(), trips);
                if was_open || trips {
                    tries.clear();
                }
                if let Some(wait) = breaker.next_probe_in(at(now)) {
                    prop_assert!(wait >= config.first_open.mul_f64(0.79) && wait <= config.max_open);
                }
            }
        }
    }
}
