//! The journal against a partition in memory.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_domain::{
    EndpointId, TenantId, Timestamp,
    endpoint_state::{AutoDisabled, DisableReason, EndpointState, Holding, StateTerm},
    failing::FailureRecord,
    tier::Tiers,
};
use postrider_kafka::{Codec, Headers, Layout, Outgoing, PartitionCursor, Record, TestCursor, Topics};
use tokio::time::Instant;

use super::{Acknowledged, Journal, RestoreError, StateBudget, Urgency, entry::Form, restore};
use crate::sink::FakeSink;

const TOPIC: &str = "postrider.endpoint-state";
const REJECTED: &str = "postrider.rejected";
const OWNER: i64 = 77;

/// A partition of states, and what writes to it.
struct Here {
    sink: FakeSink,
    layout: Layout,
    topics: Topics,
    form: Form,
    end: Arc<Mutex<i64>>,
    cursor: Option<PartitionCursor>,
    partition: TestCursor,
}

impl Here {
    fn new() -> Self {
        let topics = Topics::new("postrider");
        let layout = Layout::for_test(&topics, &Tiers::default(), 1);
        let (cursor, partition) = PartitionCursor::for_test(TOPIC, 0);
        let form = Form { codec: layout.codec().clone(), topic: TOPIC.into(), partition: 0 };
        let (sink, end) = (FakeSink::new(), Arc::new(Mutex::new(0)));
        let here = Self { sink, layout, topics, form, end, cursor: Some(cursor), partition };
        let (end, partition) = (here.end.clone(), here.partition.clone());
        here.sink.read_by(TOPIC, move |written| append(&partition, &end, written));
        here
    }

    /// Another owner's record lands.
    fn lands(&self, record: &Outgoing) {
        append(&self.partition, &self.end, record);
    }

    async fn restore(&mut self) -> (Journal<FakeSink>, HashMap<EndpointId, EndpointState>) {
        self.try_restore().await.unwrap()
    }

    async fn try_restore(&mut self) -> Result<(Journal<FakeSink>, HashMap<EndpointId, EndpointState>), RestoreError> {
        let cursor = self.cursor.take().expect("a test restores once");
        // Whatever it was told before the test wrote anything.
        cursor.seek(0);
        let budget = Arc::new(StateBudget::new());
        restore(cursor, self.sink.clone(), &self.layout, &self.topics, 0, Some(40), OWNER, budget).await
    }

    /// The failures, or a tombstone, of each acknowledged state, in order.
    fn written(&self) -> Vec<(EndpointId, Option<u32>)> {
        let states = self.sink.acknowledged_for(TOPIC);
        let states = states.iter().filter(|record| &*record.key != StateTerm::KEY.as_bytes());
        states
            .map(|record| {
                let key = std::str::from_utf8(&record.key).unwrap();
                let failures = record.value.as_ref().map(|value| self.decode(value).failing.failures);
                (EndpointId::from_trusted(key), failures)
            })
            .collect()
    }

    fn decode(&self, value: &Bytes) -> EndpointState {
        self.form.codec.decode(value).unwrap()
    }
}

fn append(partition: &TestCursor, end: &Mutex<i64>, written: &Outgoing) {
    let mut end = end.lock();
    partition.append([Record {
        topic: written.topic.clone(),
        partition: 0,
        offset: *end,
        timestamp: Timestamp::EPOCH,
        key: Some(written.key.clone()),
        value: written.value.clone(),
        headers: written.headers.clone(),
    }]);
    *end += 1;
}

fn endpoint(n: usize) -> EndpointId {
    EndpointId::from_trusted(format!("ep_{n}"))
}

/// A state that is known by its number of failures; empty if that is 0.
fn state(n: usize, failures: u32) -> EndpointState {
    let since = (failures > 0).then_some(Timestamp::from_millis(1));
    let state = EndpointState::new(endpoint(n), TenantId::from_trusted("ten_1"), 0);
    EndpointState { failing: FailureRecord { since, failures }, ..state }
}

fn of_term(term: i64, state: EndpointState) -> EndpointState {
    EndpointState { term, ..state }
}

fn holding(n: usize, position: i64) -> EndpointState {
    let holding = Holding { position, done: Vec::new(), whole: false, blocked: Vec::new() };
    EndpointState { holding: Some(holding), ..state(n, 1) }
}

/// Lets the journal work for a while. Answers what was acknowledged.
async fn work(journal: &mut Journal<FakeSink>, while_ms: u64) -> Vec<Acknowledged> {
    let until = Instant::now() + Duration::from_millis(while_ms);
    let mut acknowledged = Vec::new();
    while let Ok(next) = tokio::time::timeout_at(until, journal.next()).await {
        acknowledged.push(next.unwrap());
    }
    acknowledged
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_knows_what_was_written_and_takes_the_next_term() {
    let mut here = Here::new();
    here.lands(&here.form.term(&StateTerm { term: 4, owner: 1 }));
    here.lands(&here.form.state(&of_term(4, state(1, 3))));
    here.lands(&here.form.state(&of_term(4, holding(2, 17))));
    here.lands(&here.form.state(&of_term(4, state(3, 9))));
    here.lands(&here.form.state(&of_term(4, state(3, 0))));
    let (mut journal, states) = here.restore().await;
    assert_eq!(states.len(), 2);
    assert_eq!(states[&endpoint(1)], of_term(5, state(1, 3)));
    assert!(journal.is_acknowledged(&endpoint(1), 0));
    assert_eq!(journal.lowest_acknowledged_holding(), Some(17));
    let written = here.sink.acknowledged_for(TOPIC);
    let term: StateTerm = here.form.codec.decode(written[0].value.as_ref().unwrap()).unwrap();
    assert_eq!((written.len(), term), (1, StateTerm { term: 5, owner: OWNER }));
    assert!(work(&mut journal, 10_000).await.is_empty());
    assert_eq!(here.written(), [], "there is nothing to say");
}

#[tokio::test(start_paused = true)]
async fn a_term_that_another_took_meanwhile_is_not_shared() {
    let mut here = Here::new();
    let other = here.form.term(&StateTerm { term: 1, owner: 1 });
    let (partition, end, first) = (here.partition.clone(), here.end.clone(), Mutex::new(true));
    here.sink.read_by(TOPIC, move |written| {
        if std::mem::take(&mut *first.lock()) {
            append(&partition, &end, &other);
        }
        append(&partition, &end, written);
    });
    let (mut journal, _) = here.restore().await;
    journal.put(state(1, 1), Urgency::Transition);
    let acknowledged = work(&mut journal, 10).await;
    assert_eq!(acknowledged[0].state.term, 2);
    assert!(!journal.is_replaced());
}

#[tokio::test(start_paused = true)]
async fn a_transition_is_written_at_once_a_position_within_100_ms_and_counters_within_a_second() {
    for (urgency, within_ms) in [(Urgency::Transition, 0), (Urgency::Position, 100), (Urgency::Counters, 1_000)] {
        let mut here = Here::new();
        let (mut journal, _) = here.restore().await;
        let began = Instant::now();
        let generation = journal.put(state(1, 1), urgency);
        assert!(!journal.is_acknowledged(&endpoint(1), generation));
        let acknowledged = journal.next().await.unwrap();
        assert_eq!((acknowledged.endpoint, acknowledged.generation), (endpoint(1), generation));
        assert!(journal.is_acknowledged(&endpoint(1), generation));
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        assert!((within_ms..=within_ms + 1).contains(&took), "{urgency:?} took {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_state_wins_and_records_say_their_term() {
    let mut here = Here::new();
    let (mut journal, _) = here.restore().await;
    let generations: Vec<_> = (1..=50).map(|failures| journal.put(state(1, failures), Urgency::Position)).collect();
    let acknowledged = work(&mut journal, 5_000).await;
    assert_eq!(here.written(), [(endpoint(1), Some(50))]);
    assert_eq!((acknowledged.len(), acknowledged[0].generation), (1, generations[49]));
    assert!(generations.iter().all(|generation| journal.is_acknowledged(&endpoint(1), *generation)));
    let record = here.sink.acknowledged_for(TOPIC).pop().unwrap();
    assert_eq!(record.headers.get_str("pr-term"), Some("1"));
    assert_eq!(here.decode(record.value.as_ref().unwrap()).term, 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_state_is_a_tombstone_that_says_its_term() {
    let mut here = Here::new();
    let (mut journal, _) = here.restore().await;
    journal.put(state(1, 1), Urgency::Transition);
    work(&mut journal, 1).await;
    let generation = journal.put(state(1, 0), Urgency::Transition);
    assert!(!journal.is_acknowledged(&endpoint(1), generation));
    work(&mut journal, 1).await;
    assert!(journal.is_acknowledged(&endpoint(1), generation));
    assert_eq!(here.written(), [(endpoint(1), Some(1)), (endpoint(1), None)]);
    let record = here.sink.acknowledged_for(TOPIC).pop().unwrap();
    assert_eq!(record.headers.get_str("pr-term"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn one_write_of_an_endpoint_is_under_way_at_a_time() {
    let mut here = Here::new();
    let (mut journal, _) = here.restore().await;
    let before = here.sink.handed_over();
    here.sink.hold(true);
    journal.put(state(1, 1), Urgency::Transition);
    assert!(work(&mut journal, 10).await.is_empty());
    journal.put(state(1, 2), Urgency::Transition);
    let newest = journal.put(state(1, 3), Urgency::Transition);
    journal.put(state(2, 1), Urgency::Transition);
    assert!(work(&mut journal, 10_000).await.is_empty());
    assert_eq!(here.sink.handed_over() - before, 2, "one of each endpoint");
    here.sink.hold(false);
    let acknowledged = work(&mut journal, 10).await;
    assert_eq!(acknowledged.len(), 3);
    assert!(journal.is_acknowledged(&endpoint(1), newest));
    let of_first: Vec<_> = here.written().into_iter().filter(|(id, _)| *id == endpoint(1)).collect();
    assert_eq!(of_first, [(endpoint(1), Some(1)), (endpoint(1), Some(3))]);
}

#[tokio::test(start_paused = true)]
async fn at_most_a_thousand_records_go_in_a_second_and_transitions_go_first() {
    let mut here = Here::new();
    let (mut journal, _) = here.restore().await;
    for n in 0..3_000 {
        journal.put(state(n, 1), Urgency::Position);
    }
    work(&mut journal, 1_100).await;
    let written = here.written().len();
    assert!((900..=1_000).contains(&written), "{written}");
    let began = Instant::now();
    let transition = journal.put(state(2_999, 2), Urgency::Transition);
    while !journal.is_acknowledged(&endpoint(2_999), transition) {
        journal.next().await.unwrap();
    }
    assert!(began.elapsed() <= Duration::from_millis(5), "{:?}", began.elapsed());
    // An endpoint that changes all the time does not keep the others from their turn.
    for _ in 0..3_000 {
        journal.put(state(0, 9), Urgency::Position);
        work(&mut journal, 1).await;
    }
    assert!((0..3_000).all(|n| n == 0 || journal.is_acknowledged(&endpoint(n), 1)));
}

#[tokio::test(start_paused = true)]
async fn what_an_older_owner_writes_late_is_overwritten_at_once() {
    let mut here = Here::new();
    here.lands(&here.form.term(&StateTerm { term: 1, owner: 1 }));
    let (mut journal, _) = here.restore().await;
    journal.put(holding(1, 30), Urgency::Transition);
    work(&mut journal, 1).await;
    here.lands(&here.form.state(&of_term(1, state(1, 99))));
    here.lands(&here.form.state(&of_term(1, state(2, 99))));
    here.lands(&here.form.term(&StateTerm { term: 1, owner: 1 }));
    assert!(work(&mut journal, 1).await.is_empty(), "it was acknowledged before");
    assert_eq!(here.written()[1..], [(endpoint(1), Some(1)), (endpoint(2), None)]);
    let newest = here.sink.acknowledged_for(TOPIC).pop().unwrap();
    assert_eq!((&*newest.key, newest.headers.get_str("pr-term")), (StateTerm::KEY.as_bytes(), Some("2")));
    assert!(!journal.is_replaced());
    work(&mut journal, 10_000).await;
    assert_eq!(here.written().len(), 3, "its own records are not overwritten");
}

#[tokio::test(start_paused = true)]
async fn once_a_newer_owner_has_begun_nothing_is_written_any_more() {
    for rival in [StateTerm { term: 2, owner: 1 }, StateTerm { term: 1, owner: 1 }] {
        let mut here = Here::new();
        let (mut journal, _) = here.restore().await;
        journal.put(state(1, 1), Urgency::Counters);
        here.lands(&here.form.term(&rival));
        assert!(work(&mut journal, 10_000).await.is_empty());
        assert!(journal.is_replaced());
        let generation = journal.put(state(1, 2), Urgency::Transition);
        assert!(work(&mut journal, 10_000).await.is_empty());
        journal.finish().await.unwrap();
        assert!(!journal.is_acknowledged(&endpoint(1), generation));
        assert_eq!(here.written(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_term_after_a_newer_one_makes_its_endpoint_hold_from_the_committed_offset() {
    let mut here = Here::new();
    let disabled = AutoDisabled { reason: DisableReason::Gone, enabled_version: 7, at: Timestamp::EPOCH };
    here.lands(&here.form.term(&StateTerm { term: 2, owner: 1 }));
    here.lands(&here.form.state(&EndpointState { disabled: Some(disabled), ..of_term(2, holding(1, 90)) }));
    here.lands(&here.form.state(&of_term(1, state(1, 99))));
    let (mut journal, states) = here.restore().await;
    let restored = &states[&endpoint(1)];
    assert_eq!((restored.failing.failures, restored.disabled), (1, Some(disabled)));
    assert_eq!(restored.holding.as_ref().map(|holding| holding.position), Some(40));
    assert_eq!(journal.lowest_acknowledged_holding(), Some(40));
    work(&mut journal, 1).await;
    let record = here.sink.acknowledged_for(TOPIC).pop().unwrap();
    assert_eq!(here.decode(record.value.as_ref().unwrap()), *restored, "it is written under the new term");
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_state_is_rejected_with_its_bytes_and_its_endpoint_holds() {
    let mut here = Here::new();
    here.lands(&here.form.state(&of_term(1, state(1, 3))));
    let garbage = Outgoing { value: Some("garbage".into()), headers: Headers::new(), ..here.form.state(&state(1, 1)) };
    here.lands(&garbage);
    let (mut journal, states) = here.restore().await;
    assert_eq!(states[&endpoint(1)].failing.failures, 3);
    assert_eq!(states[&endpoint(1)].holding.as_ref().map(|holding| holding.position), Some(40));
    work(&mut journal, 1).await;
    here.lands(&garbage);
    work(&mut journal, 1).await;
    let rejected = here.sink.acknowledged_for(REJECTED);
    assert_eq!(rejected.iter().map(|record| record.value.as_deref()).collect::<Vec<_>>(), [Some(&b"garbage"[..]); 2]);
    assert_eq!(here.written(), [(endpoint(1), Some(3)), (endpoint(1), Some(3))], "it is overwritten each time");
}

#[tokio::test(start_paused = true)]
async fn a_record_of_an_unknown_schema_holds_the_restore_and_is_not_rejected() {
    let mut here = Here::new();
    let mut bytes = Codec::new().encode(&state(1, 1)).to_vec();
    bytes[2] ^= 0xff;
    here.lands(&Outgoing { value: Some(bytes.into()), ..here.form.state(&state(1, 1)) });
    let sink = here.sink.clone();
    let restored = tokio::time::timeout(Duration::from_hours(1), here.try_restore()).await;
    assert!(restored.is_err());
    assert_eq!(sink.handed_over(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_position_moves_the_lowest_held_offset_only_once_it_is_acknowledged() {
    let mut here = Here::new();
    let (mut journal, _) = here.restore().await;
    journal.put(holding(1, 10), Urgency::Transition);
    assert_eq!(journal.lowest_acknowledged_holding(), None);
    journal.put(holding(2, 20), Urgency::Transition);
    work(&mut journal, 1).await;
    assert_eq!(journal.lowest_acknowledged_holding(), Some(10));
    journal.put(holding(1, 30), Urgency::Position);
    assert_eq!(journal.lowest_acknowledged_holding(), Some(10));
    work(&mut journal, 200).await;
    assert_eq!(journal.lowest_acknowledged_holding(), Some(20));
    journal.put(state(2, 0), Urgency::Transition);
    work(&mut journal, 1).await;
    assert_eq!(journal.lowest_acknowledged_holding(), Some(30));
}

#[tokio::test(start_paused = true)]
async fn finishing_writes_what_is_not_due_yet_and_waits_for_its_acknowledgement() {
    let mut here = Here::new();
    let (mut journal, _) = here.restore().await;
    let generations: Vec<_> = (0..2_000).map(|n| journal.put(state(n, 1), Urgency::Counters)).collect();
    here.sink.hold(true);
    let held = tokio::time::timeout(Duration::from_mins(1), journal.finish()).await;
    assert!(held.is_err(), "nothing is acknowledged");
    here.sink.hold(false);
    let began = Instant::now();
    journal.finish().await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(generations.iter().enumerate().all(|(n, generation)| journal.is_acknowledged(&endpoint(n), *generation)));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_will_never_be_written_is_an_error() {
    let mut here = Here::new();
    let (mut journal, _) = here.restore().await;
    here.sink.fail_fatally(TOPIC);
    journal.put(state(1, 1), Urgency::Transition);
    assert!(journal.next().await.is_err());
}
