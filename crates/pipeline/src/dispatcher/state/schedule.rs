//! Which endpoints' states are to be written next: decisions without I/O.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use postrider_domain::EndpointId;
use tokio::time::Instant;

/// How soon a state must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dispatcher) enum Urgency {
    /// At once, before all others: something waits for its acknowledgement.
    Transition,
    /// Within 100 ms: what was done is repeated otherwise.
    Position,
    /// Within a second.
    Counters,
}

impl Urgency {
    fn delay(self) -> Duration {
        match self {
            Self::Transition => Duration::ZERO,
            Self::Position => Duration::from_millis(100),
            Self::Counters => Duration::from_secs(1),
        }
    }
}

/// An endpoint's place in the order of [`Schedule`]: transitions before others, then whoever came first.
type Place = (bool, u64);

/// The endpoints whose newest state is not written. An endpoint is in it once, and none is taken while an earlier write
/// of it is under way: so an older state can never land after a newer one, and endpoints take turns.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    slots: HashMap<EndpointId, Slot>,
    timers: BTreeSet<(Instant, EndpointId)>,
    ready: BTreeMap<Place, EndpointId>,
    last_place: u64,
}

#[derive(Debug, Default)]
struct Slot {
    in_flight: bool,
    wanted: Option<Wanted>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    due: Instant,
    transition: bool,
    /// None: it waits for its time, or for a write that is under way.
    place: Option<Place>,
}

impl Schedule {
    /// The endpoint's newest state is to be written.
    pub(super) fn want(&mut self, endpoint: &EndpointId, urgency: Urgency, now: Instant) {
        let slot = self.slots.entry(endpoint.clone()).or_default();
        let due = now + urgency.delay();
        let before = slot.wanted;
        let wanted = Wanted {
            due: before.map_or(due, |before| before.due.min(due)),
            transition: urgency == Urgency::Transition || before.is_some_and(|before| before.transition),
            place: before.and_then(|before| before.place),
        };
        slot.wanted = Some(wanted);
        if let Some(before) = before {
            match before.place {
                Some(_) if before.transition == wanted.transition => return,
                Some(place) => {
                    self.ready.remove(&place);
                }
                None => {
                    self.timers.remove(&(before.due, endpoint.clone()));
                }
            }
        }
        self.queue(endpoint, now);
    }

    /// How urgent the next write is; none: nothing is due.
    pub(super) fn ready(&mut self, now: Instant) -> Option<Urgency> {
        while let Some((due, _)) = self.timers.first()
            && *due <= now
        {
            let (_, endpoint) = self.timers.pop_first().expect("there is a first one");
            self.queue(&endpoint, now);
        }
        let ((later, _), _) = self.ready.first_key_value()?;
        Some(if *later { Urgency::Position } else { Urgency::Transition })
    }

    /// When the next one is due that is not [`ready`](Self::ready).
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Takes the endpoint that is to be written next, of those that are [`ready`](Self::ready).
    pub(super) fn take(&mut self) -> Option<EndpointId> {
        let (_, endpoint) = self.ready.pop_first()?;
        self.slots.insert(endpoint.clone(), Slot { in_flight: true, wanted: None });
        Some(endpoint)
    }

    /// The write of an endpoint has ended.
    pub(super) fn ended(&mut self, endpoint: &EndpointId, now: Instant) {
        let Some(slot) = self.slots.get_mut(endpoint) else { return };
        slot.in_flight = false;
        if slot.wanted.is_some() {
            self.queue(endpoint, now);
        } else {
            self.slots.remove(endpoint);
        }
    }

    /// Makes everything due.
    pub(super) fn hurry(&mut self, now: Instant) {
        for wanted in self.slots.values_mut().filter_map(|slot| slot.wanted.as_mut()) {
            wanted.due = wanted.due.min(now);
        }
        for (_, endpoint) in std::mem::take(&mut self.timers) {
            self.queue(&endpoint, now);
        }
    }

    /// Whether an endpoint's newest state is not written and acknowledged.
    pub(super) fn has(&self, endpoint: &EndpointId) -> bool {
        self.slots.contains_key(endpoint)
    }

    /// Whether everything is written and acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Puts an endpoint that is in no queue where it belongs.
    fn queue(&mut self, endpoint: &EndpointId, now: Instant) {
        let Some(slot) = self.slots.get_mut(endpoint) else { return };
        let Some(wanted) = slot.wanted.as_mut() else { return };
        wanted.place = None;
        if slot.in_flight {
            return;
        }
        if wanted.due <= now {
            self.last_place += 1;
            let place = (!wanted.transition, self.last_place);
            wanted.place = Some(place);
            self.ready.insert(place, endpoint.clone());
        } else {
            self.timers.insert((wanted.due, endpoint.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(n: usize) -> EndpointId {
        EndpointId::from_trusted(format!("ep_{n}"))
    }

    fn take(schedule: &mut Schedule, now: Instant) -> Option<EndpointId> {
        schedule.ready(now).and_then(|_| schedule.take())
    }

    #[tokio::test(start_paused = true)]
    async fn transitions_go_first_and_the_others_in_turn_each_when_it_is_due() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let ms = |ms| start + Duration::from_millis(ms);
        schedule.want(&endpoint(1), Urgency::Counters, start);
        schedule.want(&endpoint(2), Urgency::Position, start);
        schedule.want(&endpoint(3), Urgency::Position, start);
        assert_eq!(take(&mut schedule, ms(99)), None);
        assert_eq!(schedule.next_due(), Some(ms(100)));
        schedule.want(&endpoint(3), Urgency::Transition, ms(99));
        schedule.want(&endpoint(1), Urgency::Transition, ms(100));
        for n in [3, 1, 2] {
            assert_eq!(take(&mut schedule, ms(100)), Some(endpoint(n)));
        }
        assert_eq!(schedule.next_due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_waits_for_its_own_write_that_is_under_way() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.want(&endpoint(1), Urgency::Transition, start);
        assert_eq!(take(&mut schedule, start), Some(endpoint(1)));
        schedule.want(&endpoint(1), Urgency::Transition, start);
        assert_eq!(take(&mut schedule, start), None);
        schedule.ended(&endpoint(1), start);
        assert_eq!(take(&mut schedule, start), Some(endpoint(1)));
        schedule.ended(&endpoint(1), start);
        assert!(schedule.is_empty());
    }

    proptest! {
        /// Whatever is wanted, taken and ended, in whatever order: everything wanted is taken, none late, none twice at
        /// a time.
        #[test]
        fn everything_wanted_is_taken_once_it_is_due(
            steps in proptest::collection::vec((0..5usize, 0..5u8, 0..400u64), 1..300),
        ) {
            let urgencies = [Urgency::Transition, Urgency::Position, Urgency::Counters];
            let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build().unwrap();
            let mut now = runtime.block_on(async { Instant::now() });
            let mut schedule = Schedule::default();
            let (mut wanted, mut in_flight) = (HashMap::<usize, Instant>::new(), Vec::<usize>::new());
            for (n, action, wait) in steps {
                match action {
                    0..3 => {
                        let urgency = urgencies[usize::from(action)];
                        schedule.want(&endpoint(n), urgency, now);
                        let due = now + urgency.delay();
                        wanted.entry(n).and_modify(|before| *before = due.min(*before)).or_insert(due);
                    }
                    3 if !in_flight.is_empty() => {
                        let ended = in_flight.remove(n % in_flight.len());
                        schedule.ended(&endpoint(ended), now);
                    }
                    _ => now += Duration::from_millis(wait),
                }
                if action == 4 {
                    while let Some(taken) = take(&mut schedule, now) {
                        let n = (0..5).find(|n| endpoint(*n) == taken).unwrap();
                        prop_assert!(!in_flight.contains(&n));
                        prop_assert!(wanted.remove(&n).is_some_and(|due| due <= now));
                        in_flight.push(n);
                    }
                    let missed = wanted.iter().any(|(n, due)| *due <= now && !in_flight.contains(n));
                    prop_assert!(!missed);
                }
                prop_assert_eq!(schedule.is_empty(), wanted.is_empty() && in_flight.is_empty());
            }
        }
    }
}
