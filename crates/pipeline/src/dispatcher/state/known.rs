//! What a new owner makes of the records that it finds: decisions without I/O.

use std::collections::{HashMap, hash_map};

use postrider_domain::{
    EndpointId, TenantId,
    endpoint_state::{EndpointState, Holding, StateTerm},
    failing::FailureRecord,
};

use super::entry::{Entry, Written};

/// The newest state of each endpoint, as far as the partition was read, from its beginning.
///
/// A record is in doubt if a newer owner had begun before it was written: its writer had been replaced and did not know
/// it yet. The newer owner rewrites such a key, so it is in doubt only if no record of the newer one follows. Compaction
/// may have taken what the newer one had written before.
#[derive(Debug, Default)]
pub(super) struct Known {
    highest_term: i64,
    /// Whose the highest term is, once its record was read.
    owner: Option<StateTerm>,
    endpoints: HashMap<EndpointId, Newest>,
}

#[derive(Debug)]
struct Newest {
    tenant: Option<TenantId>,
    /// None: nothing is to be remembered.
    state: Option<EndpointState>,
    in_doubt: bool,
}

/// What a new owner works with.
#[derive(Debug, PartialEq)]
pub(super) struct Restored {
    pub states: HashMap<EndpointId, EndpointState>,
    /// Those that are in doubt: their records have to be overwritten.
    pub in_doubt: Vec<EndpointId>,
}

impl Known {
    /// Takes note of the next record.
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Nothing | Entry::Corrupt(None, _) => {}
            Entry::Term(term) => {
                if term.term >= self.highest_term {
                    self.highest_term = term.term;
                    self.owner = Some(term);
                }
            }
            Entry::Corrupt(Some(written), _) => {
                self.highest_term = self.highest_term.max(written.term);
                self.doubt(written, None);
            }
            Entry::State(written, state) if written.term < self.highest_term => self.doubt(written, state),
            Entry::State(written, state) => {
                self.highest_term = written.term;
                let newest = Newest { tenant: written.tenant, state, in_doubt: false };
                self.endpoints.insert(written.endpoint, newest);
            }
        }
    }

    /// The highest term of any record.
    pub(super) fn highest_term(&self) -> i64 {
        self.highest_term
    }

    /// Whether the newest owner is this one.
    pub(super) fn is_owner(&self, term: StateTerm) -> bool {
        self.highest_term == term.term && self.owner == Some(term)
    }

    /// Whether somebody else has taken this term, or a higher one.
    pub(super) fn is_taken(&self, term: StateTerm) -> bool {
        self.highest_term > term.term || (self.highest_term == term.term && self.owner != Some(term))
    }

    /// The states for an owner of `term`. An endpoint in doubt may have anything in `held` from `held_from` on.
    pub(super) fn restore(self, term: i64, held_from: i64) -> Restored {
        let mut restored = Restored { states: HashMap::new(), in_doubt: Vec::new() };
        for (endpoint, newest) in self.endpoints {
            let Newest { tenant, state, in_doubt } = newest;
            let state = if in_doubt {
                restored.in_doubt.push(endpoint.clone());
                // Only a record that says nothing of its writer leaves the tenant open.
                let tenant = tenant.unwrap_or_else(|| TenantId::from_trusted(""));
                let state = state.unwrap_or_else(|| EndpointState::new(endpoint.clone(), tenant, term));
                // Of an ordered endpoint nobody knows which keys wait there: all of it does.
                let holding = Holding { position: held_from, done: Vec::new(), whole: true, blocked: Vec::new() };
                Some(EndpointState { holding: Some(holding), ..state })
            } else {
                state
            };
            if let Some(state) = state {
                restored.states.insert(endpoint, EndpointState { term, ..state });
            }
        }
        restored
    }

    /// Keeps what was known, of the newer owner, and else what is known at all. That an endpoint was disabled is in
    /// force only for the configuration that it names, so an old one can be kept; a success after its failures would
    /// not be known.
    fn doubt(&mut self, written: Written, state: Option<EndpointState>) {
        match self.endpoints.entry(written.endpoint) {
            hash_map::Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.in_doubt = true;
                known.tenant = known.tenant.take().or(written.tenant);
            }
            hash_map::Entry::Vacant(unknown) => {
                let state =
                    state.map(|state| EndpointState { failing: FailureRecord::default(), breaker: None, ..state });
                unknown.insert(Newest { tenant: written.tenant, state, in_doubt: true });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        Timestamp,
        endpoint_state::{AutoDisabled, DisableReason},
    };

    use super::*;

    fn endpoint() -> EndpointId {
        EndpointId::from_trusted("ep_1")
    }

    fn written(term: i64) -> Written {
        Written { endpoint: endpoint(), tenant: Some(TenantId::from_trusted("ten_1")), term }
    }

    /// A state that is known by its number of failures.
    fn state(term: i64, failures: u32) -> EndpointState {
        let failing = FailureRecord { since: Some(Timestamp::from_millis(1)), failures };
        let disabled = AutoDisabled { reason: DisableReason::Gone, enabled_version: 7, at: Timestamp::from_millis(2) };
        let state = EndpointState::new(endpoint(), TenantId::from_trusted("ten_1"), term);
        EndpointState { failing, disabled: Some(disabled), ..state }
    }

    fn put(term: i64, failures: u32) -> Entry {
        Entry::State(written(term), Some(state(term, failures)))
    }

    fn tombstone(term: i64) -> Entry {
        Entry::State(written(term), None)
    }

    fn owner(term: i64) -> Entry {
        Entry::Term(StateTerm { term, owner: 1 })
    }

    fn restored(entries: impl IntoIterator<Item = Entry>) -> Restored {
        let mut known = Known::default();
        entries.into_iter().for_each(|entry| known.apply(entry));
        known.restore(9, 70)
    }

    #[test]
    fn the_newest_state_of_each_endpoint_is_restored_and_a_tombstone_is_none() {
        let restored_one = restored([owner(1), put(1, 3), put(1, 4), owner(2), put(2, 5)]);
        assert_eq!(restored_one.states[&endpoint()], state(9, 5));
        assert!(restored_one.in_doubt.is_empty());
        assert!(restored([owner(1), put(1, 3), tombstone(1)]).states.is_empty());
    }

    #[test]
    fn an_older_term_after_a_newer_one_makes_its_endpoint_hold_and_keeps_what_the_newer_one_knew() {
        for late in [put(1, 99), tombstone(1), Entry::Corrupt(Some(written(2)), String::new())] {
            let Restored { states, in_doubt } = restored([owner(1), owner(2), put(2, 5), late]);
            assert_eq!(in_doubt, [endpoint()]);
            let state = &states[&endpoint()];
            assert_eq!((state.failing.failures, state.disabled.is_some()), (5, true));
            let holding = state.holding.clone().unwrap();
            assert_eq!((holding.position, holding.done, holding.whole, holding.blocked), (70, vec![], true, vec![]));
        }
    }

    #[test]
    fn it_is_seen_also_once_compaction_took_what_the_newer_one_wrote() {
        let Restored { states, in_doubt } = restored([owner(2), put(1, 99)]);
        assert_eq!(in_doubt, [endpoint()]);
        let state = &states[&endpoint()];
        assert_eq!((state.failing.failures, state.disabled.is_some(), state.holding.is_some()), (0, true, true));
        let late_tombstone = restored([owner(2), tombstone(1)]);
        assert!(late_tombstone.states[&endpoint()].holding.is_some());
    }

    #[test]
    fn a_key_that_the_newer_owner_rewrote_is_not_in_doubt() {
        let restored = restored([owner(1), owner(2), put(2, 5), put(1, 99), put(2, 5)]);
        assert_eq!((restored.states[&endpoint()].clone(), restored.in_doubt), (state(9, 5), vec![]));
    }

    #[test]
    fn an_owner_is_the_newest_only_if_nobody_took_its_term_or_a_higher_one_after_it() {
        let mine = StateTerm { term: 3, owner: 7 };
        let mut known = Known::default();
        known.apply(owner(2));
        assert_eq!(known.highest_term(), 2);
        known.apply(Entry::Term(mine));
        assert!(known.is_owner(mine));
        known.apply(owner(2));
        assert!(known.is_owner(mine));
        known.apply(owner(3));
        assert!(!known.is_owner(mine));
    }
}
