//! The gate itself: it shuts when nothing anywhere can be reached, and opens when something answers.

use std::time::Duration;

use super::turns::Turns;
use crate::Monotonic;

/// When the gate shuts, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateConfig {
    /// Off: it never shuts, and an exhausted delivery waits for no verdict.
    pub enabled: bool,
    /// How many distinct hosts must be out of reach, with no status from anywhere between, for it to shut.
    pub hosts_to_shut: usize,
    /// How often one request goes out while it is shut.
    pub probe_every: Duration,
    /// How long it protects deliveries from being given up (`egress_grace`).
    pub grace: Duration,
    /// How long an exhausted delivery waits for the gate to shut or a status to come.
    pub verdict_wait: Duration,
}

impl Default for GateConfig {
    /// Three hosts, a probe a second, 24 h of grace, 10 s for a verdict.
    fn default() -> Self {
        Self {
            enabled: true,
            hosts_to_shut: 3,
            probe_every: Duration::from_secs(1),
            grace: Duration::from_hours(24),
            verdict_wait: Duration::from_secs(10),
        }
    }
}

/// How the gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// Everything goes.
    Open,
    /// Nothing goes but probes, and no failure to reach a host counts.
    Shut {
        /// Since when.
        since: Monotonic,
    },
    /// It was shut for as long as it may be: everything goes and counts again, until a status opens it.
    GraceOver,
}

/// Whether a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Send,
    /// It may, as the one that finds out whether there is a way.
    Probe,
    /// Ask again then.
    Wait(Monotonic),
}

/// What becomes of a delivery whose last attempt reached no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ask again after the next event, or when `verdict_wait` is over.
    Pending,
    /// It was the host: give the delivery up.
    DeadLetter,
    /// It was our way out: park it, its attempt unchanged.
    Park,
}

/// What an event did to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateChange {
    /// It shut.
    Shut,
    /// It opened.
    Opened,
}

/// The egress gate of one process. What it remembers is bounded, whatever number of hosts fails.
///
/// It shuts when `hosts_to_shut` distinct hosts have failed by DNS, connect, TLS or time-out since the last HTTP
/// status from anywhere. It stays shut until a status comes to a request that was begun after it shut: an older one
/// may have been answered before the way was lost. Any status shows that there is a way, 500 as well as 200.
#[derive(Debug)]
pub struct EgressGate {
    config: GateConfig,
    phase: Phase,
    /// When it last ceased to be shut.
    shut_ended_at: Option<Monotonic>,
    /// When the latest begun of the requests that got a status was begun.
    answered_begun_at: Option<Monotonic>,
}

#[derive(Debug)]
enum Phase {
    Open { failed_hosts: Vec<Box<str>> },
    Shut { since: Monotonic, turns: Turns },
}

impl EgressGate {
    /// An open gate.
    pub fn new(config: GateConfig) -> Self {
        let phase = Phase::Open { failed_hosts: Vec::new() };
        Self { config, phase, shut_ended_at: None, answered_begun_at: None }
    }

    /// A request begun at `begun_at` got an HTTP status, any.
    pub fn on_status(&mut self, begun_at: Monotonic, now: Monotonic) -> Option<GateChange> {
        self.answered_begun_at = self.answered_begun_at.max(Some(begun_at));
        match &mut self.phase {
            Phase::Open { failed_hosts } => {
                failed_hosts.clear();
                None
            }
            Phase::Shut { since, .. } if begun_at <= *since => None,
            Phase::Shut { since, .. } => {
                self.shut_ended_at = Some(now.min(*since + self.config.grace));
                self.phase = Phase::Open { failed_hosts: Vec::new() };
                Some(GateChange::Opened)
            }
        }
    }

    /// A request begun at `begun_at` failed to reach `host`, by DNS, connect, TLS or time-out (no other failure
    /// belongs here). One that was begun before the gate last opened tells of the outage that is over, and is not
    /// counted.
    pub fn on_unreachable(&mut self, host: &str, begun_at: Monotonic, now: Monotonic) -> Option<GateChange> {
        if !self.config.enabled || self.overlapped_shut(begun_at, now) {
            return None;
        }
        let Phase::Open { failed_hosts } = &mut self.phase else { return None };
        if !failed_hosts.iter().any(|failed| &**failed == host) {
            failed_hosts.push(host.into());
        }
        if failed_hosts.len() < self.config.hosts_to_shut {
            return None;
        }
        // The first probe a pause later, too: "begun after it shut" is then never a matter of the same instant.
        let turns = Turns::new(self.config.probe_every, now + self.config.probe_every);
        self.phase = Phase::Shut { since: now, turns };
        Some(GateChange::Shut)
    }

    /// How it stands.
    pub fn state(&self, now: Monotonic) -> GateState {
        match &self.phase {
            Phase::Open { .. } => GateState::Open,
            Phase::Shut { since, .. } if now >= *since + self.config.grace => GateState::GraceOver,
            Phase::Shut { since, .. } => GateState::Shut { since: *since },
        }
    }

    /// Whether a request to `host` may go. While the gate is shut, one goes each `probe_every`, over the hosts that
    /// ask in turn.
    pub fn may_send(&mut self, host: &str, now: Monotonic) -> Admission {
        if !matches!(self.state(now), GateState::Shut { .. }) {
            return Admission::Send;
        }
        match &mut self.phase {
            Phase::Open { .. } => Admission::Send,
            Phase::Shut { turns, .. } => match turns.take(host, now) {
                Ok(()) => Admission::Probe,
                Err(later) => Admission::Wait(later),
            },
        }
    }

    /// Whether the gate was shut at any time from `begun_at` to now. A failure to reach a host that overlapped it
    /// counts for nothing (attempts, breaker, concurrency, disabling), and is never the last.
    pub fn overlapped_shut(&self, begun_at: Monotonic, now: Monotonic) -> bool {
        match &self.phase {
            Phase::Open { .. } => self.shut_ended_at.is_some_and(|ended_at| begun_at < ended_at),
            Phase::Shut { since, .. } => {
                let grace_ends_at = *since + self.config.grace;
                now < grace_ends_at || begun_at < grace_ends_at
            }
        }
    }

    /// What becomes of an exhausted delivery whose last attempt failed to reach its host at `failed_at`. A status
    /// that comes to a request begun after that shows that there is a way; so it is taken to be if the gate does not
    /// shut within `verdict_wait`.
    pub fn verdict(&self, failed_at: Monotonic, now: Monotonic) -> Verdict {
        let answered_since = self.answered_begun_at.is_some_and(|begun_at| begun_at > failed_at);
        if !self.config.enabled {
            Verdict::DeadLetter
        } else if self.overlapped_shut(failed_at, now) {
            Verdict::Park
        } else if answered_since
            || self.state(now) == GateState::GraceOver
            || now >= failed_at + self.config.verdict_wait
        {
            Verdict::DeadLetter
        } else {
            Verdict::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_millis(millis))
    }

    fn gate() -> EgressGate {
        EgressGate::new(GateConfig::default())
    }

    /// A gate that shut at 1,000 ms.
    fn shut() -> EgressGate {
        let mut gate = gate();
        assert_eq!(gate.on_unreachable("a", at(0), at(998)), None);
        assert_eq!(gate.on_unreachable("b", at(0), at(999)), None);
        assert_eq!(gate.on_unreachable("c", at(0), at(1_000)), Some(GateChange::Shut));
        assert_eq!(gate.state(at(1_000)), GateState::Shut { since: at(1_000) });
        gate
    }

    #[test]
    fn one_host_that_fails_for_ever_does_not_shut_it_and_neither_do_two() {
        let mut gate = gate();
        for n in 0..1_000 {
            assert_eq!(gate.on_unreachable(if n % 2 == 0 { "a" } else { "b" }, at(n), at(n + 1)), None);
        }
        assert_eq!(gate.state(at(2_000)), GateState::Open);
        assert_eq!(gate.may_send("a", at(2_000)), Admission::Send);
    }

    #[test]
    fn a_status_from_anywhere_begins_the_count_anew() {
        let mut gate = gate();
        gate.on_unreachable("a", at(0), at(1));
        gate.on_unreachable("b", at(0), at(2));
        gate.on_status(at(0), at(3));
        assert_eq!(gate.on_unreachable("c", at(0), at(4)), None);
        assert_eq!(gate.on_unreachable("a", at(0), at(5)), None);
        assert_eq!(gate.on_unreachable("b", at(0), at(6)), Some(GateChange::Shut));
    }

    #[test]
    fn an_endpoint_that_answers_500_for_ever_never_shuts_it_and_goes_to_the_dead_letters() {
        let mut gate = gate();
        for n in 0..1_000 {
            assert_eq!(gate.on_status(at(10 * n), at(10 * n + 5)), None);
            assert_eq!(gate.on_unreachable(&format!("host-{}", n % 2), at(10 * n), at(10 * n + 6)), None);
        }
        assert_eq!(gate.verdict(at(9_000), at(10_000)), Verdict::DeadLetter);
    }

    #[test]
    fn it_opens_only_by_a_status_to_a_request_begun_after_it_shut() {
        let mut gate = shut();
        assert_eq!(gate.on_status(at(999), at(2_000)), None);
        assert_eq!(gate.on_status(at(1_000), at(2_000)), None);
        assert_eq!(gate.state(at(2_000)), GateState::Shut { since: at(1_000) });
        assert_eq!(gate.on_status(at(2_000), at(2_100)), Some(GateChange::Opened));
        assert_eq!(gate.state(at(2_100)), GateState::Open);
    }

    #[test]
    fn shut_it_lets_one_probe_a_second_through_over_hosts_in_turn() {
        let mut gate = shut();
        assert_eq!(gate.may_send("a", at(1_000)), Admission::Wait(at(2_000)));
        assert_eq!(gate.may_send("b", at(1_000)), Admission::Wait(at(2_100)));
        assert_eq!(gate.may_send("a", at(2_000)), Admission::Probe);
        assert_eq!(gate.may_send("a", at(3_000)), Admission::Wait(at(3_100)), "b has waited for longer");
        assert_eq!(gate.may_send("b", at(3_000)), Admission::Probe);
        assert_eq!(gate.may_send("a", at(4_000)), Admission::Probe);
        gate.on_status(at(4_000), at(4_100));
        assert_eq!(gate.may_send("a", at(4_100)), Admission::Send);
        assert_eq!(gate.may_send("a", at(4_100)), Admission::Send);
    }

    #[test]
    fn an_attempt_that_overlapped_a_shut_gate_is_known_also_once_it_is_open() {
        let mut gate = shut();
        for begun_at in [0, 1_000, 1_500] {
            assert!(gate.overlapped_shut(at(begun_at), at(1_500)));
        }
        gate.on_status(at(2_000), at(2_100));
        for (begun_at, overlapped) in [(0, true), (1_000, true), (2_099, true), (2_100, false), (3_000, false)] {
            assert_eq!(gate.overlapped_shut(at(begun_at), at(5_000)), overlapped, "{begun_at}");
        }
    }

    #[test]
    fn failures_of_the_outage_that_is_over_do_not_shut_it_again() {
        let mut gate = shut();
        gate.on_status(at(2_000), at(2_100));
        for host in ["a", "b", "c", "d"] {
            assert_eq!(gate.on_unreachable(host, at(2_050), at(30_000)), None);
        }
        for host in ["a", "b"] {
            assert_eq!(gate.on_unreachable(host, at(2_100), at(30_000)), None);
        }
        assert_eq!(gate.on_unreachable("c", at(2_100), at(30_000)), Some(GateChange::Shut));
    }

    #[test]
    fn after_its_grace_everything_counts_again_until_a_status_opens_it() {
        let mut gate = shut();
        let end = at(1_000) + 24 * HOUR;
        let before = end - Duration::from_millis(1);
        assert_eq!(gate.state(before), GateState::Shut { since: at(1_000) });
        assert_eq!(gate.verdict(before, before), Verdict::Park);
        assert_eq!(gate.state(end), GateState::GraceOver);
        assert_eq!(gate.may_send("a", end), Admission::Send);
        assert!(gate.overlapped_shut(before, end) && !gate.overlapped_shut(end, end + HOUR));
        assert_eq!(gate.verdict(end, end), Verdict::DeadLetter);
        for host in ["a", "b", "c", "d"] {
            assert_eq!(gate.on_unreachable(host, end, end + HOUR), None, "it was shut for long enough");
        }
        assert_eq!(gate.on_status(end, end + HOUR), Some(GateChange::Opened));
        assert!(!gate.overlapped_shut(end, end + HOUR), "it ceased to be shut when its grace ended");
    }

    #[test]
    fn an_exhausted_failure_waits_for_a_status_to_a_later_request_or_ten_seconds() {
        let mut gate = gate();
        assert_eq!(gate.verdict(at(5_000), at(5_000)), Verdict::Pending);
        gate.on_status(at(5_000), at(6_000));
        assert_eq!(gate.verdict(at(5_000), at(14_999)), Verdict::Pending, "begun before or as it failed");
        assert_eq!(gate.verdict(at(5_000), at(15_000)), Verdict::DeadLetter, "no verdict");
        gate.on_status(at(5_001), at(7_000));
        gate.on_status(at(100), at(7_001));
        assert_eq!(gate.verdict(at(5_000), at(7_001)), Verdict::DeadLetter, "there is a way");
        assert_eq!(gate.verdict(at(6_000), at(7_001)), Verdict::Pending);
    }

    #[test]
    fn an_exhausted_failure_is_parked_when_the_gate_shuts_also_if_it_opens_before_that_is_seen() {
        let mut gate = shut();
        for failed_at in [500, 1_000, 1_500] {
            assert_eq!(gate.verdict(at(failed_at), at(1_500)), Verdict::Park);
        }
        gate.on_status(at(2_000), at(2_100));
        assert_eq!(gate.verdict(at(500), at(2_200)), Verdict::Park);
        assert_eq!(gate.verdict(at(2_100), at(2_200)), Verdict::Pending);
    }

    #[test]
    fn switched_off_it_never_shuts_and_gives_up_at_once() {
        let mut gate = EgressGate::new(GateConfig { enabled: false, ..GateConfig::default() });
        for host in ["a", "b", "c", "d"] {
            assert_eq!(gate.on_unreachable(host, at(0), at(1)), None);
        }
        assert_eq!(gate.may_send("a", at(2)), Admission::Send);
        assert_eq!(gate.verdict(at(1), at(1)), Verdict::DeadLetter);
    }

    proptest! {
        /// Against a model that remembers everything: which hosts failed, and every time it was shut.
        #[test]
        fn it_is_shut_exactly_when_the_whole_history_says_so(
            events in proptest::collection::vec((0..5_000u64, 0..10_000u64, 0..5u8, prop::bool::weighted(0.3)), 1..200),
        ) {
            let mut gate = gate();
            let (mut now, mut shuts, mut hosts) = (20_000, Vec::<(u64, Option<u64>)>::new(), Vec::<u8>::new());
            for (gap, took, host, answered) in events {
                now += gap;
                let begun = now - took;
                let open_since = shuts.last().map_or(Some(0), |(_, ended)| *ended);
                let change = if answered {
                    hosts.clear();
                    gate.on_status(at(begun), at(now))
                } else {
                    gate.on_unreachable(&host.to_string(), at(begun), at(now))
                };
                let wanted = match (open_since, answered) {
                    (None, true) if begun > shuts.last().unwrap().0 => {
                        shuts.last_mut().unwrap().1 = Some(now);
                        Some(GateChange::Opened)
                    }
                    (Some(open_since), false) if begun >= open_since => {
                        if !hosts.contains(&host) { hosts.push(host); }
                        (hosts.len() == 3).then(|| { hosts.clear(); shuts.push((now, None)); GateChange::Shut })
                    }
                    _ => None,
                };
                prop_assert_eq!(change, wanted);
                let overlapped = shuts.iter().any(|(_, ended)| ended.is_none_or(|ended| ended > begun));
                prop_assert_eq!(gate.overlapped_shut(at(begun), at(now)), overlapped);
                if let Phase::Open { failed_hosts } = &gate.phase {
                    prop_assert!(failed_hosts.len() < 3);
                }
            }
        }
    }
}
