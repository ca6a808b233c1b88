//! Whose turn it is to probe a way out that is down.

use std::{collections::VecDeque, time::Duration};

use crate::Monotonic;

/// The most hosts that wait in line, whatever number of them fails.
const MAX_WAITING_HOSTS: usize = 128;

/// One turn at a time, with a pause between, over the hosts in the order in which they first asked.
///
/// A host keeps its place by asking, and takes its turn by asking once it has come. Who does not (its lane may be
/// gone) is passed over: each place further back may take the turn a tenth of the pause later.
#[derive(Debug)]
pub(super) struct Turns {
    every: Duration,
    next_at: Monotonic,
    waiting: VecDeque<Box<str>>,
}

impl Turns {
    pub(super) fn new(every: Duration, first_at: Monotonic) -> Self {
        Self { every, next_at: first_at, waiting: VecDeque::new() }
    }

    /// Takes the turn for `host` if it has come; otherwise it gets a place in line (unless that is full), and the
    /// answer is when to ask again.
    pub(super) fn take(&mut self, host: &str, now: Monotonic) -> Result<(), Monotonic> {
        let place = self.waiting.iter().position(|waiting| &**waiting == host).unwrap_or_else(|| {
            if self.waiting.len() < MAX_WAITING_HOSTS {
                self.waiting.push_back(host.into());
                self.waiting.len() - 1
            } else {
                MAX_WAITING_HOSTS
            }
        });
        let places = u32::try_from(place).expect("a place is at most MAX_WAITING_HOSTS");
        let turn = self.next_at + self.every / 10 * places;
        if now < turn {
            return Err(turn);
        }
        self.waiting.drain(..self.waiting.len().min(place + 1));
        self.next_at = now + self.every;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_millis(millis))
    }

    /// The hosts that took a turn within `seconds`, if each asks again when it was told to.
    fn run(turns: &mut Turns, hosts: usize, seconds: u64) -> Vec<(Monotonic, usize)> {
        let mut ask_at = vec![at(0); hosts];
        let mut taken = Vec::new();
        loop {
            let (host, now) = ask_at.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
            if now >= at(seconds * 1_000) {
                return taken;
            }
            ask_at[host] = match turns.take(&host.to_string(), now) {
                Ok(()) => {
                    taken.push((now, host));
                    now + Duration::from_millis(1)
                }
                Err(later) => later,
            };
        }
    }

    #[test]
    fn every_host_has_its_turn_in_order() {
        let taken = run(&mut Turns::new(SECOND, at(1_000)), 3, 8);
        let wanted: Vec<_> = (0..7).map(|n| (at(1_000 * (n + 1)), usize::try_from(n).unwrap() % 3)).collect();
        assert_eq!(taken, wanted);
    }

    #[test]
    fn a_host_that_went_away_is_passed_over() {
        let mut turns = Turns::new(SECOND, at(1_000));
        assert_eq!(turns.take("gone", at(0)), Err(at(1_000)));
        assert_eq!(turns.take("here", at(0)), Err(at(1_100)));
        assert_eq!(turns.take("here", at(1_099)), Err(at(1_100)));
        assert_eq!(turns.take("here", at(1_100)), Ok(()));
        assert_eq!(turns.take("here", at(1_101)), Err(at(2_100)), "no longer behind the one that went");
    }

    #[test]
    fn the_line_is_bounded_and_one_full_of_hosts_that_went_away_does_not_stop_the_others() {
        let mut turns = Turns::new(SECOND, at(1_000));
        for host in 0..100_000 {
            assert!(turns.take(&host.to_string(), at(0)).is_err());
        }
        assert_eq!(turns.waiting.len(), MAX_WAITING_HOSTS);
        let again = turns.take("new", at(1_000)).unwrap_err();
        assert_eq!(turns.take("new", again), Ok(()));
        assert!(turns.waiting.is_empty());
    }

    proptest! {
        #[test]
        fn turns_come_once_a_pause_and_never_twice_running(hosts in 1..160usize, seconds in 5..30u64) {
            let taken = run(&mut Turns::new(SECOND, at(1_000)), hosts, seconds);
            prop_assert!(taken.len() as u64 >= seconds * 8 / 10 - 1, "{} in {} s", taken.len(), seconds);
            for pair in taken.windows(2) {
                prop_assert!(pair[1].0.since(pair[0].0) >= SECOND);
                prop_assert!(hosts == 1 || pair[0].1 != pair[1].1);
            }
        }
    }
}
