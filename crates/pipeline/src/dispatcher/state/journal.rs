//! The journal of one partition: writes its endpoints' states, and defends them.

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    sync::Arc,
};

use postrider_domain::{
    EndpointId, TenantId,
    endpoint_state::{EndpointState, StateTerm},
};
use postrider_kafka::{CursorEvent, PartitionCursor, ProduceError, Record, RejectReason, Sink, reject};
use tokio::{task::JoinSet, time::Instant};

use super::{
    StateBudget, Urgency,
    entry::{self, Entry, Form},
    known::Restored,
    schedule::Schedule,
};
use crate::stage::result_of;

/// Writes of one journal that may be under way.
const MAX_IN_FLIGHT_WRITES: usize = 256;

/// Writes what a partition's owner knows of its endpoints, the newest state of each, one write of an endpoint at a
/// time. It follows the partition: a record that a former owner wrote late is overwritten at once; once there is a newer
/// owner, nothing is written any more.
pub(in crate::dispatcher) struct Journal<S> {
    cursor: PartitionCursor,
    writer: Writer<S>,
    term: StateTerm,
    /// The endpoints of which something is known, or not written yet.
    remembered: HashMap<EndpointId, Remembered>,
    schedule: Schedule,
    /// The lowest held offset of each endpoint that holds deliveries, as it is acknowledged.
    lowest_held: BTreeSet<(i64, EndpointId)>,
    writes: JoinSet<Result<Option<Acknowledged>, ProduceError>>,
    budget: Arc<StateBudget>,
    last_generation: u64,
    replaced: bool,
    finishing: bool,
}

/// A state that outlives this process.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dispatcher) struct Acknowledged {
    /// Whose.
    pub endpoint: EndpointId,
    /// What [`Journal::put`] answered for it, or for a newer one that was written in its stead.
    pub generation: u64,
    /// The state.
    pub state: EndpointState,
}

#[derive(Debug)]
struct Remembered {
    state: EndpointState,
    generation: u64,
    acknowledged: u64,
    /// The lowest held offset of what is acknowledged.
    lowest_held: Option<i64>,
}

/// How a journal writes.
#[derive(Clone)]
pub(super) struct Writer<S> {
    pub sink: S,
    pub form: Form,
    pub rejected: Arc<str>,
}

impl<S: Sink> Journal<S> {
    pub(super) fn new(
        cursor: PartitionCursor,
        writer: Writer<S>,
        term: StateTerm,
        restored: Restored,
        budget: Arc<StateBudget>,
    ) -> Self {
        let mut journal = Self {
            cursor,
            writer,
            term,
            remembered: HashMap::new(),
            schedule: Schedule::default(),
            lowest_held: BTreeSet::new(),
            writes: JoinSet::new(),
            budget,
            last_generation: 0,
            replaced: false,
            finishing: false,
        };
        for (endpoint, state) in restored.states {
            let lowest_held = lowest_held(&state);
            journal.lowest_held.extend(lowest_held.map(|offset| (offset, endpoint.clone())));
            let remembered = Remembered { state, generation: 0, acknowledged: 0, lowest_held };
            journal.remembered.insert(endpoint, remembered);
        }
        for endpoint in restored.in_doubt {
            journal.schedule.want(&endpoint, Urgency::Transition, Instant::now());
        }
        journal
    }

    /// The endpoint's newest state from now on; an empty one is forgotten. Answers its generation.
    pub(in crate::dispatcher) fn put(&mut self, state: EndpointState, urgency: Urgency) -> u64 {
        self.last_generation += 1;
        let generation = self.last_generation;
        let state = EndpointState { term: self.term.term, ..state };
        let endpoint = state.endpoint.clone();
        match self.remembered.entry(endpoint.clone()) {
            hash_map::Entry::Occupied(mut known) => {
                let known = known.get_mut();
                (known.state, known.generation) = (state, generation);
            }
            hash_map::Entry::Vacant(unknown) => {
                unknown.insert(Remembered { state, generation, acknowledged: 0, lowest_held: None });
            }
        }
        self.schedule.want(&endpoint, urgency, Instant::now());
        generation
    }

    /// Whether the endpoint's state of that generation, or a later one, is acknowledged.
    pub(in crate::dispatcher) fn is_acknowledged(&self, endpoint: &EndpointId, generation: u64) -> bool {
        // What was acknowledged as empty is forgotten.
        self.remembered.get(endpoint).is_none_or(|known| known.acknowledged >= generation)
    }

    /// The lowest offset of the held topic that an acknowledged state still needs; none if none does.
    pub(in crate::dispatcher) fn lowest_acknowledged_holding(&self) -> Option<i64> {
        self.lowest_held.first().map(|(offset, _)| *offset)
    }

    /// Whether another owner has begun: nothing that this one writes matters any more.
    pub(in crate::dispatcher) fn is_replaced(&self) -> bool {
        self.replaced
    }

    /// Writes what is due and follows the partition; answers the next acknowledgement of what was put. Pending for ever
    /// when there is nothing to write. Cancel-safe. Error: a state will never be written.
    pub(in crate::dispatcher) async fn next(&mut self) -> Result<Acknowledged, ProduceError> {
        while !self.replaced {
            if let Some(acknowledged) = self.turn().await? {
                return Ok(acknowledged);
            }
        }
        std::future::pending().await
    }

    /// Writes what is not written and waits for all acknowledgements. The process-wide limit does not count here: the
    /// partition's end waits for it. Nothing is put after that.
    pub(in crate::dispatcher) async fn finish(&mut self) -> Result<(), ProduceError> {
        self.finishing = true;
        self.schedule.hurry(Instant::now());
        while !(self.replaced || self.schedule.is_empty() && self.writes.is_empty()) {
            self.turn().await?;
        }
        Ok(())
    }

    /// Begins what can be begun, then waits for one thing to happen.
    async fn turn(&mut self) -> Result<Option<Acknowledged>, ProduceError> {
        let look_again = self.begin_writes(Instant::now());
        tokio::select! {
            biased;
            Some(ended) = self.writes.join_next() => {
                return Ok(result_of(ended)?.and_then(|written| self.acknowledge(written)));
            }
            event = self.cursor.next() => self.follow(event),
            () = tokio::time::sleep_until(look_again.unwrap_or_else(Instant::now)), if look_again.is_some() => {}
        }
        Ok(None)
    }

    /// Answers when there is more to begin; none: not before something else happens.
    fn begin_writes(&mut self, now: Instant) -> Option<Instant> {
        loop {
            if self.writes.len() >= MAX_IN_FLIGHT_WRITES {
                return None;
            }
            let Some(urgency) = self.schedule.ready(now) else { return self.schedule.next_due() };
            if !self.finishing
                && let Err(later) = self.budget.take(urgency, now)
            {
                return Some(later);
            }
            let endpoint = self.schedule.take()?;
            self.begin_write(endpoint);
        }
    }

    fn begin_write(&mut self, endpoint: EndpointId) {
        let known = self.remembered.get(&endpoint).expect("what is to be written is remembered");
        let (state, generation) = (known.state.clone(), known.generation);
        let sink = self.writer.sink.clone();
        let record = self.writer.form.state(&state);
        metrics::counter!("postrider_state_records_total").increment(1);
        self.writes.spawn(async move {
            sink.send(record).await?;
            Ok(Some(Acknowledged { endpoint, generation, state }))
        });
    }

    /// None if it was acknowledged before: its key had been overwritten.
    fn acknowledge(&mut self, written: Acknowledged) -> Option<Acknowledged> {
        let Acknowledged { endpoint, generation, state } = &written;
        self.schedule.ended(endpoint, Instant::now());
        let known = self.remembered.get_mut(endpoint).expect("what is being written is remembered");
        let is_news = *generation > known.acknowledged;
        known.acknowledged = *generation;
        let (before, after) = (known.lowest_held, lowest_held(state));
        if before != after {
            known.lowest_held = after;
            if let Some(offset) = before {
                self.lowest_held.remove(&(offset, endpoint.clone()));
            }
            self.lowest_held.extend(after.map(|offset| (offset, endpoint.clone())));
        }
        if state.is_empty() && !self.schedule.has(endpoint) {
            self.remembered.remove(endpoint);
        }
        is_news.then_some(written)
    }

    fn follow(&mut self, event: Option<CursorEvent>) {
        match event {
            Some(CursorEvent::Record(record)) => self.check(record),
            Some(CursorEvent::EndOfPartition { .. }) => {}
            Some(CursorEvent::OutOfRange { .. }) => self.write_all_again(),
            None => self.give_up("it was opened again in this process"),
        }
    }

    /// Looks whether a record of the partition is from this owner, and what to do if not.
    fn check(&mut self, record: Record) {
        let term = entry::term_of(&record);
        let is_state = record.key_str() != Some(StateTerm::KEY);
        if term > Some(self.term.term) {
            return self.give_up("a newer owner has begun");
        }
        if is_state && term == Some(self.term.term) {
            return;
        }
        match entry::decode(&record, &self.writer.form.codec) {
            Ok(Entry::Term(term)) if term == self.term => {}
            Ok(Entry::Term(term)) if term.term < self.term.term => self.write_term_again(),
            Ok(Entry::Term(_)) => self.give_up("another owner has begun"),
            Ok(Entry::State(written, _)) if written.term == self.term.term => {}
            Ok(Entry::State(written, _)) if written.term > self.term.term => self.give_up("a newer owner has begun"),
            Ok(Entry::State(written, state)) => {
                self.write_again(written.endpoint, written.tenant.or(state.map(|state| state.tenant)));
            }
            Ok(Entry::Corrupt(written, message)) => {
                match written {
                    Some(written) => self.write_again(written.endpoint, written.tenant),
                    None if is_state => {}
                    None => self.write_term_again(),
                }
                self.reject(record, message);
            }
            // A tombstone under the term's key.
            Ok(Entry::Nothing) => self.write_term_again(),
            // Whatever it says: it is not from this owner, and overwritten.
            Err(_) => match record.key_str() {
                Some(key) if is_state => self.write_again(EndpointId::from_trusted(key), None),
                _ => self.give_up("an owner of another version has begun"),
            },
        }
    }

    /// Overwrites what an older owner, or nobody at all, wrote over this owner's state of an endpoint.
    fn write_again(&mut self, endpoint: EndpointId, tenant: Option<TenantId>) {
        metrics::counter!("postrider_state_rewrites_total").increment(1);
        tracing::warn!(
            endpoint = endpoint.as_str(),
            partition = self.cursor.partition(),
            "a former owner wrote an endpoint's state late: it is overwritten"
        );
        self.schedule.want(&endpoint, Urgency::Transition, Instant::now());
        let term = self.term.term;
        self.remembered.entry(endpoint).or_insert_with_key(|endpoint| {
            let tenant = tenant.unwrap_or_else(|| TenantId::from_trusted(""));
            let nothing = EndpointState::new(endpoint.clone(), tenant, term);
            Remembered { state: nothing, generation: 0, acknowledged: 0, lowest_held: None }
        });
    }

    fn write_term_again(&mut self) {
        let (sink, record) = (self.writer.sink.clone(), self.writer.form.term(&self.term));
        self.writes.spawn(async move { sink.send(record).await.map(|_| None) });
    }

    /// The partition lost records: whatever is known may have been among them.
    fn write_all_again(&mut self) {
        tracing::error!(
            partition = self.cursor.partition(),
            "records of endpoint states were lost: they are rewritten"
        );
        self.write_term_again();
        for endpoint in self.remembered.keys() {
            self.schedule.want(endpoint, Urgency::Counters, Instant::now());
        }
    }

    fn reject(&mut self, record: Record, message: String) {
        let Writer { sink, rejected, .. } = self.writer.clone();
        self.writes.spawn(async move {
            reject(&sink, &rejected, &record, RejectReason::Corrupt, &message).await.map(|()| None)
        });
    }

    fn give_up(&mut self, why: &'static str) {
        tracing::warn!(
            topic = &**self.cursor.topic(),
            partition = self.cursor.partition(),
            term = self.term.term,
            "{why}: this one writes no more states of the partition"
        );
        self.replaced = true;
        self.writes.abort_all();
    }
}

/// The lowest offset of the held topic that a state needs.
fn lowest_held(state: &EndpointState) -> Option<i64> {
    let holding = state.holding.as_ref()?;
    holding.blocked.iter().map(|blocked| blocked.from_offset).chain([holding.position]).min()
}
