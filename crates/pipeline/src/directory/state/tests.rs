use postrider_domain::{
    ConfigBody, EndpointId, EntityKind, Event, EventId, EventType, EventTypeId, SourceCoordinates, SubscriptionId,
    TenantId, Timestamp,
    config_entry::{Deleted, Tenant},
    event_type::ValidationMode,
    filter::EventView,
    subscription::Subscription,
};
use postrider_kafka::Codec;

use super::*;

fn version(epoch: i64, seq: i64) -> DirectoryVersion {
    DirectoryVersion { epoch, seq }
}

fn tenant(epoch: i64, seq: i64, name: &str) -> Change {
    let body = ConfigBody::Tenant(Tenant::new(TenantId::from_trusted(name), name));
    Change::Entry(ConfigEntry { version: version(epoch, seq), entity_version: seq, body })
}

fn subscription(epoch: i64, seq: i64, entity_version: i64, pattern: &str) -> Change {
    let body = ConfigBody::Subscription(Subscription {
        id: SubscriptionId::from_trusted("sub_1"),
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted("ep_1"),
        event_types: vec![pattern.parse().unwrap()],
        filter: None,
        mapping: None,
        created_at: Timestamp::EPOCH,
    });
    Change::Entry(ConfigEntry { version: version(epoch, seq), entity_version, body })
}

fn event_type(epoch: i64, seq: i64, id: &str, name: &str) -> Change {
    let body = ConfigBody::EventType(Box::new(EventType {
        id: EventTypeId::from_trusted(id),
        name: name.to_owned(),
        group: String::new(),
        description: String::new(),
        schema: None,
        validation: ValidationMode::Reject,
        archived: false,
    }));
    Change::Entry(ConfigEntry { version: version(epoch, seq), entity_version: seq, body })
}

fn deleted(epoch: i64, seq: i64, id: &str, entity: EntityKind) -> Change {
    let body = ConfigBody::Deleted(Deleted { id: EntityId::from_trusted(id), entity, at: Timestamp::EPOCH });
    Change::Entry(ConfigEntry { version: version(epoch, seq), entity_version: seq, body })
}

fn marker(epoch: i64, seq: i64, live: i64) -> Change {
    Change::Marker(ConfigMarker { version: version(epoch, seq), live })
}

fn read(changes: impl IntoIterator<Item = Change>) -> State {
    let mut state = State::default();
    changes.into_iter().for_each(|change| state.apply(change));
    state.end_of_partition();
    state
}

fn matches(state: &State, event_type: &str) -> bool {
    let event = Event {
        id: EventId::from_trusted("id"),
        producer_id: None,
        source: "orders".to_owned(),
        tenant: TenantId::from_trusted("ten_1"),
        event_type: event_type.to_owned(),
        time: Timestamp::EPOCH,
        subject: None,
        ordering_key: None,
        data: "{}".into(),
        previous: None,
        content_type: "application/json".to_owned(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 0 },
    };
    !state.book().subscriptions().candidates(&EventView::new(&event)).is_empty()
}

#[test]
fn it_works_only_once_it_is_read_to_the_end_and_the_marker_agrees() {
    let mut state = State::default();
    for change in [tenant(1, 1, "ten_1"), tenant(1, 2, "ten_2"), marker(1, 2, 2)] {
        state.apply(change);
        assert_eq!(state.status(), Status::Reading);
    }
    state.end_of_partition();
    assert_eq!(state.status(), Status::Working);
    assert_eq!(state.book().version(), Some(version(1, 2)));
}

#[test]
fn an_empty_topic_is_not_an_empty_directory() {
    assert_eq!(read([]).status(), Status::Incomplete { live: 0, expected: None });
    assert_eq!(read([marker(1, 0, 0)]).status(), Status::Working);
}

#[test]
fn what_the_marker_misses_is_waited_for() {
    let mut state = read([tenant(1, 1, "ten_1"), marker(1, 2, 2)]);
    assert_eq!(state.status(), Status::Incomplete { live: 1, expected: Some(2) });
    state.apply(tenant(1, 3, "ten_2"));
    state.end_of_partition();
    assert_eq!(state.status(), Status::Working);
}

#[test]
fn deletions_are_not_live_and_their_tombstones_change_nothing() {
    let mut state = read([
        tenant(1, 1, "ten_1"),
        subscription(1, 2, 1, "order.*"),
        deleted(1, 3, "sub_1", EntityKind::Subscription),
        marker(1, 3, 1),
    ]);
    assert_eq!(state.status(), Status::Working);
    assert!(!matches(&state, "order.created"));
    state.apply(Change::Tombstone(EntityId::from_trusted("sub_1")));
    state.end_of_partition();
    assert_eq!(state.status(), Status::Working);
}

#[test]
fn event_types_are_found_by_name_and_a_name_can_be_given_again() {
    let found = |state: &State, name: &str| {
        state.book().event_type(name).map(|compiled| compiled.event_type().id.as_str().to_owned())
    };
    let mut state = read([event_type(1, 1, "ety_1", "order.created"), marker(1, 1, 1)]);
    assert_eq!(state.status(), Status::Working);
    assert_eq!(found(&state, "order.created").as_deref(), Some("ety_1"));
    assert_eq!(found(&state, "order.paid"), None);
    state.apply(deleted(1, 2, "ety_1", EntityKind::EventType));
    assert_eq!(found(&state, "order.created"), None);
    state.apply(event_type(1, 3, "ety_2", "order.created"));
    state.apply(Change::Tombstone(EntityId::from_trusted("ety_1")));
    assert_eq!(found(&state, "order.created").as_deref(), Some("ety_2"));
}

#[test]
fn an_older_version_of_an_entity_is_ignored() {
    let mut state = read([subscription(1, 5, 3, "order.*"), marker(1, 5, 1)]);
    for stale in [subscription(1, 6, 2, "*"), subscription(1, 7, 3, "*")] {
        state.apply(stale);
    }
    assert!(matches(&state, "order.created") && !matches(&state, "invoice.paid"));
    assert_eq!(state.book().version(), Some(version(1, 7)));
}

#[test]
fn a_new_epoch_replaces_the_directory_at_its_marker_and_not_before() {
    let mut state = read([subscription(1, 1, 9, "order.*"), tenant(1, 2, "ten_1"), marker(1, 2, 2)]);
    state.apply(subscription(2, 1, 1, "invoice.*"));
    state.end_of_partition();
    assert_eq!(state.status(), Status::Working);
    assert!(matches(&state, "order.created") && !matches(&state, "invoice.paid"));
    state.apply(marker(2, 1, 1));
    assert!(!matches(&state, "order.created") && matches(&state, "invoice.paid"));
    assert_eq!((state.status(), state.book().version()), (Status::Working, Some(version(2, 1))));
}

#[test]
fn leftovers_of_an_older_epoch_do_not_count_in_the_newer_one() {
    let state = read([tenant(1, 1, "ten_gone"), tenant(2, 1, "ten_1"), marker(2, 1, 1)]);
    assert_eq!((state.status(), state.book().live()), (Status::Working, 1));
}

#[test]
fn an_epoch_that_falls_stops_the_work_until_a_newer_one() {
    let mut state = read([tenant(2, 1, "ten_1"), marker(2, 1, 1)]);
    state.apply(tenant(1, 9, "ten_2"));
    state.end_of_partition();
    assert_eq!(state.status(), Status::EpochFell { had: 2, found: 1 });
    assert_eq!(state.book().live(), 1, "it keeps what it had");
    state.apply(tenant(3, 1, "ten_1"));
    state.apply(marker(3, 1, 1));
    state.end_of_partition();
    assert_eq!(state.status(), Status::Working);
}

#[test]
fn a_topic_that_shrinks_stops_the_work_and_the_last_directory_stays() {
    let mut state = read([subscription(1, 5, 1, "order.*"), marker(1, 5, 1)]);
    state.shrunk();
    state.end_of_partition();
    assert_eq!(state.status(), Status::Shrunk);
    assert!(matches(&state, "order.created"));
    // An older state of the topic is not good enough.
    state.apply(marker(1, 0, 0));
    state.end_of_partition();
    assert_eq!(state.status(), Status::Shrunk);
    state.apply(subscription(1, 6, 2, "invoice.*"));
    state.apply(marker(1, 6, 1));
    assert_eq!(state.status(), Status::Shrunk, "not before the end is reached");
    state.end_of_partition();
    assert_eq!(state.status(), Status::Working);
    assert!(!matches(&state, "order.created") && matches(&state, "invoice.paid"));
}

#[test]
fn a_topic_that_shrinks_before_it_was_complete_is_read_anew() {
    let mut state = read([tenant(1, 1, "ten_1")]);
    state.shrunk();
    assert_eq!(state.status(), Status::Reading);
    state.apply(marker(1, 0, 0));
    state.end_of_partition();
    assert_eq!(state.status(), Status::Working);
}

#[test]
fn an_entry_that_cant_be_decoded_keeps_the_last_good_one_and_counts_as_there() {
    let known = EntityId::from_trusted("sub_1");
    let endpoint = EndpointId::from_trusted("ep_new");
    let state = read([
        Change::Undecodable((&endpoint).into()),
        subscription(1, 1, 1, "order.*"),
        Change::Undecodable(known),
        marker(1, 2, 2),
    ]);
    assert_eq!(state.status(), Status::Working);
    assert!(matches(&state, "order.created"));
    assert!(state.book().is_unreadable(&endpoint));
}

#[test]
fn a_record_of_an_unknown_schema_stops_the_work_until_it_is_read() {
    let mut bytes = Codec::new().encode(&ConfigMarker { version: version(1, 1), live: 0 }).to_vec();
    bytes[2] ^= 0xff;
    let Err(postrider_kafka::DecodeError::UnknownSchema(fingerprint)) = Codec::new().decode::<ConfigMarker>(&bytes)
    else {
        panic!("nobody knows this schema");
    };
    let mut state = read([marker(1, 0, 0)]);
    state.wait_for_schema(Some(fingerprint));
    assert_eq!(state.status(), Status::UnknownSchema(fingerprint));
    state.wait_for_schema(None);
    assert_eq!(state.status(), Status::Working);
}
