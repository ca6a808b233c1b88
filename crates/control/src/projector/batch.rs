//! What a batch of records comes to.

use std::collections::{BTreeMap, HashSet};

use postrider_domain::{
    EndpointId, MessageId, Run, TenantId,
    delivery_event::{DeadLetter, HeldRange},
    endpoint_state::{AutoDisabled, EndpointState},
    health::Condition,
    replay::{DeadLetterMark, Mark},
};
use postrider_kafka::{Codec, DecodeError, DlqRecord, LogRecord, StateRecord};
use postrider_postgres::dead_letters::{DeadLetterRow, DeadLetterState, NewMark};

use super::{
    activity::Activities,
    counts::Counts,
    log_policy::{Asides, LogPolicy},
    quota::Begun,
    rows::{Rows, storable, storable_id},
};

/// A topic that is projected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// What happened to deliveries.
    DeliveryEvents,
    /// What the owners of partitions remember of endpoints.
    EndpointState,
    /// Deliveries that failed for good, and what was done with them.
    DeadLetters,
}

/// A record of one of them.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one is decoded at a time, and mostly it is the large one")]
pub enum Projected {
    /// What happened to deliveries.
    Log(LogRecord),
    /// What is known of an endpoint.
    State(StateRecord),
    /// A delivery that failed for good, or what was done with one.
    Dlq(DlqRecord),
    /// That nothing is known of an endpoint any more.
    Forgotten(EndpointId),
}

/// What records come to that are not written yet.
#[derive(Debug, Default)]
pub struct Batch {
    /// Attempts and deliveries.
    pub rows: Rows,
    /// Which of these are stored only if something of them is.
    pub asides: Asides,
    /// What they add to the counts.
    pub counts: Counts,
    /// The ranges of held deliveries that ended.
    pub ranges: Vec<HeldRange>,
    /// The endpoints that the data plane disabled.
    pub disabled: BTreeMap<EndpointId, Disabled>,
    /// What came of the attempts of each endpoint.
    pub activity: Activities,
    /// The deliveries that were begun.
    pub begun: Begun,
    /// What the data plane remembers of endpoints; none: nothing any more.
    pub conditions: BTreeMap<EndpointId, Option<Remembered>>,
    /// Entries of the dead-letter queue, each once.
    pub letters: Vec<DeadLetterRow>,
    /// What was done with them or with earlier ones, the first mark of each.
    pub marks: Vec<NewMark>,
    /// Those that are there already: in one statement no row may come twice.
    known: HashSet<(MessageId, Run, bool)>,
}

/// What the data plane remembers of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Whose endpoint.
    pub tenant: TenantId,
    /// What.
    pub condition: Condition,
}

/// That the data plane disabled an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// Whose endpoint.
    pub tenant: TenantId,
    /// Why, when and which version of it.
    pub how: AutoDisabled,
}

impl Topic {
    /// Decodes a record's value; of a tombstone, the key says what is gone.
    pub fn decode(self, codec: &Codec, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Projected, DecodeError> {
        match (self, value) {
            (Self::DeliveryEvents, Some(value)) => LogRecord::decode(codec, value).map(Projected::Log),
            (Self::EndpointState, Some(value)) => StateRecord::decode(codec, value).map(Projected::State),
            (Self::EndpointState, None) => {
                let key = String::from_utf8_lossy(key.unwrap_or_default());
                Ok(Projected::Forgotten(EndpointId::from_trusted(key.into_owned())))
            }
            (Self::DeadLetters, Some(value)) => DlqRecord::decode(codec, value).map(Projected::Dlq),
            (Self::DeliveryEvents | Self::DeadLetters, None) => Err(DecodeError::Corrupt("it has no value".to_owned())),
        }
    }
}

impl Batch {
    /// Adds a record that was read at `offset` of `partition`. `term` is the highest that was seen in the partition.
    pub fn add(&mut self, partition: i32, offset: i64, record: Projected, term: &mut i64, policy: LogPolicy) {
        match record {
            Projected::Log(LogRecord::Delivery(event)) => {
                self.counts.add(offset, &event);
                self.activity.add(offset, &event);
                self.begun.add(offset, &event);
                self.asides.note(policy, &event);
                self.rows.add(partition, offset, event);
            }
            Projected::Log(LogRecord::Range(range)) => {
                self.counts.add_range(offset, &range);
                self.ranges.push(range);
            }
            Projected::State(StateRecord::Term(own)) => *term = own.term.max(*term),
            Projected::State(StateRecord::Endpoint(state)) => self.add_state(state, term),
            Projected::Dlq(DlqRecord::Letter(letter)) => self.add_letter(partition, offset, letter),
            Projected::Dlq(DlqRecord::Mark(mark)) => self.add_mark(mark),
            Projected::Forgotten(endpoint) => drop(self.conditions.insert(endpoint, None)),
        }
    }

    fn add_letter(&mut self, partition: i32, offset: i64, letter: DeadLetter) {
        let delivery = letter.delivery;
        if !self.known.insert((delivery.message_id.clone(), delivery.run.clone(), false)) {
            return;
        }
        self.letters.push(DeadLetterRow {
            message_id: delivery.message_id,
            run: delivery.run,
            tenant: delivery.tenant,
            endpoint: delivery.endpoint,
            event_id: storable_id(delivery.event_id),
            event_type: storable(delivery.event_type),
            attempts: letter.attempts,
            error: letter.error.as_str().to_owned(),
            error_message: letter.error_message.map(storable),
            last_status: letter.last_status,
            matched_at: letter.matched_at,
            first_attempt_at: letter.first_attempt_at,
            died_at: letter.at,
            body_bytes: i64::try_from(delivery.body.len()).unwrap_or(i64::MAX),
            log_partition: partition,
            log_offset: offset,
            state: DeadLetterState::Open,
            job: None,
            settled_at: None,
        });
    }

    fn add_mark(&mut self, mark: DeadLetterMark) {
        if !self.known.insert((mark.message_id.clone(), mark.run.clone(), true)) {
            return;
        }
        self.marks.push(NewMark {
            message_id: mark.message_id,
            run: mark.run,
            endpoint: mark.endpoint,
            state: match mark.mark {
                Mark::Redriven => DeadLetterState::Redriven,
                Mark::Purged => DeadLetterState::Purged,
            },
            job: mark.job,
            at: mark.at,
        });
    }

    /// Of a state the management plane has the disabling and how the endpoint does, and only if its writer owned the
    /// partition: one of an older term woke up and knows no better.
    fn add_state(&mut self, state: EndpointState, term: &mut i64) {
        if state.term < *term {
            return;
        }
        *term = state.term;
        let condition = Condition { failing: state.failing, breaker: state.breaker };
        let remembered = Remembered { tenant: state.tenant.clone(), condition };
        self.conditions.insert(state.endpoint.clone(), Some(remembered));
        if let Some(how) = state.disabled {
            self.disabled.insert(state.endpoint, Disabled { tenant: state.tenant, how });
        }
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        Timestamp,
        endpoint_state::{DisableReason, StateTerm},
    };

    use super::*;

    fn disabled(endpoint: &str, term: i64, enabled_version: i64) -> Projected {
        let id = EndpointId::from_trusted(endpoint);
        let how = AutoDisabled { reason: DisableReason::Gone, enabled_version, at: Timestamp::from_millis(5) };
        let state = EndpointState::new(id, TenantId::from_trusted("ten_1"), term);
        Projected::State(StateRecord::Endpoint(EndpointState { disabled: Some(how), ..state }))
    }

    #[test]
    fn what_an_owner_of_an_older_term_wrote_does_not_count() {
        let (mut batch, mut term) = (Batch::default(), 0);
        batch.add(0, 0, disabled("ep_1", 3, 1), &mut term, LogPolicy::All);
        batch.add(
            0,
            1,
            Projected::State(StateRecord::Term(StateTerm { term: 4, owner: 9 })),
            &mut term,
            LogPolicy::All,
        );
        batch.add(0, 2, disabled("ep_2", 3, 1), &mut term, LogPolicy::All);
        batch.add(0, 3, disabled("ep_3", 5, 1), &mut term, LogPolicy::All);
        batch.add(0, 4, disabled("ep_4", 4, 1), &mut term, LogPolicy::All);
        let ids: Vec<&str> = batch.disabled.keys().map(EndpointId::as_str).collect();
        assert_eq!((ids, term), (vec!["ep_1", "ep_3"], 5));
    }

    #[test]
    fn a_tombstone_is_a_record_of_the_state_and_no_record_of_the_log() {
        let codec = Codec::new();
        let forgotten = Topic::EndpointState.decode(&codec, Some(b"ep_1"), None);
        assert!(matches!(forgotten, Ok(Projected::Forgotten(id)) if id.as_str() == "ep_1"));
        assert!(matches!(Topic::DeliveryEvents.decode(&codec, None, None), Err(DecodeError::Corrupt(_))));
    }
}
