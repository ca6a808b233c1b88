use std::fmt;

use postrider_domain::{
    ConfigEntry, ConfigMarker, JobId, Run,
    delivery_event::{HeldRange, RangeReason},
    endpoint_state::{EndpointState, StateTerm},
    overrides::Override,
    replay::{DeadLetterMark, DesiredState, Mark, MatchedFrom, ReplayJob, ReplayProgress, ReplayState},
};

use super::{
    samples::{
        NOW, VERSION, config_bodies, dead_letter, delivery, delivery_events, endpoint, endpoint_state, message,
        replay_sources, replayed, tenant,
    },
    *,
};
use crate::{AvroRecord, Codec, DecodeError};

fn round_trip<T: AvroRecord + PartialEq + fmt::Debug>(value: &T) {
    let codec = Codec::new();
    assert_eq!(codec.decode::<T>(&codec.encode(value)).as_ref(), Ok(value));
}

fn held_range() -> HeldRange {
    HeldRange {
        tenant: tenant(),
        endpoint: endpoint(),
        partition: 2,
        from: 10,
        to: 20,
        reason: RangeReason::EndpointDeleted,
        count: 7,
        at: NOW,
    }
}

fn mark() -> DeadLetterMark {
    DeadLetterMark {
        message_id: message(),
        run: Run::LIVE,
        endpoint: endpoint(),
        mark: Mark::Redriven,
        job: Some(JobId::from_trusted("job_1")),
        at: NOW,
    }
}

fn matched_from() -> MatchedFrom {
    MatchedFrom { source: "shop".to_owned(), partition: 2, version: VERSION, offset: 99 }
}

fn progress() -> ReplayProgress {
    ReplayProgress {
        job: JobId::from_trusted("job_1"),
        state: ReplayState::Failed,
        message: Some("the source is gone".to_owned()),
        next: [(0, 7), (11, i64::MAX)].into(),
        seen: 9,
        matched: 8,
        sent: 7,
        remaining: 6,
        rate: 12.5,
        sample: vec!["{\"id\":1}".to_owned()],
        unavailable: 2,
        seconds_left: Some(40),
        at: NOW,
    }
}

#[test]
fn deliveries_round_trip() {
    round_trip(&delivery(Run::LIVE));
    round_trip(&delivery(replayed()));
    round_trip(&dead_letter());
    round_trip(&mark());
    round_trip(&DeadLetterMark { run: replayed(), mark: Mark::Purged, job: None, ..mark() });
}

#[test]
fn every_kind_of_delivery_event_round_trips() {
    delivery_events().iter().for_each(round_trip);
    round_trip(&held_range());
    round_trip(&HeldRange { reason: RangeReason::Skipped, ..held_range() });
}

#[test]
fn every_kind_of_config_entry_round_trips() {
    for body in config_bodies() {
        round_trip(&ConfigEntry { version: VERSION, entity_version: 3, body });
    }
    round_trip(&ConfigMarker { version: VERSION, live: 12 });
}

#[test]
fn an_endpoints_state_round_trips_full_and_empty() {
    round_trip(&endpoint_state());
    round_trip(&EndpointState::new(endpoint(), tenant(), 1));
    round_trip(&StateTerm { term: 3, owner: i64::MIN });
}

#[test]
fn overrides_and_replays_round_trip() {
    round_trip(&Override {
        message_id: message(),
        run: replayed(),
        cancelled: true,
        superseded_below: u32::MAX,
        until: NOW,
    });
    for source in replay_sources() {
        round_trip(&ReplayJob {
            id: JobId::from_trusted("job_1"),
            tenant: Some(tenant()),
            source,
            dry_run: true,
            rate_per_second: u32::MAX,
            desired: DesiredState::Paused,
            created_by: "key_1".to_owned(),
            created_at: NOW,
        });
    }
    round_trip(&progress());
    round_trip(&matched_from());
}

#[test]
fn kinds_that_share_a_topic_are_told_apart() {
    let codec = Codec::new();
    for event in delivery_events() {
        assert_eq!(LogRecord::decode(&codec, &codec.encode(&event)), Ok(LogRecord::Delivery(event)));
    }
    let range = codec.encode(&held_range());
    assert_eq!(LogRecord::decode(&codec, &range), Ok(LogRecord::Range(held_range())));
    let letter = codec.encode(&dead_letter());
    assert_eq!(DlqRecord::decode(&codec, &letter), Ok(DlqRecord::Letter(dead_letter())));
    assert_eq!(DlqRecord::decode(&codec, &codec.encode(&mark())), Ok(DlqRecord::Mark(mark())));
    let progressed = codec.encode(&progress());
    assert_eq!(ProgressRecord::decode(&codec, &progressed), Ok(ProgressRecord::Progress(progress())));
    let matched = codec.encode(&matched_from());
    assert_eq!(ProgressRecord::decode(&codec, &matched), Ok(ProgressRecord::MatchedFrom(matched_from())));
    let state = codec.encode(&endpoint_state());
    assert_eq!(StateRecord::decode(&codec, &state), Ok(StateRecord::Endpoint(endpoint_state())));
    let term = StateTerm { term: 3, owner: 5 };
    assert_eq!(StateRecord::decode(&codec, &codec.encode(&term)), Ok(StateRecord::Term(term)));

    let strange = LogRecord::decode(&codec, &letter);
    assert!(matches!(strange, Err(DecodeError::Corrupt(why)) if why.contains("DeadLetter")));
}
