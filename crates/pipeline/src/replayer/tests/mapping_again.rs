//! Redriving dead letters whose events could not be mapped.

use bytes::Bytes;
use postrider_domain::{
    ConfigBody, EndpointId, ErrorClass, Run, SourceCoordinates, Subscription,
    delivery_event::DeadLetter,
    message_id::{event_id, message_id},
    replay::{ReplayJob, ReplayState, run_of},
};
use postrider_kafka::Headers;

use super::world::{ENDPOINT, World, letter, millis, redrive, source, subscription};

/// A world in which the endpoint's subscription has `mapping`, and two events, of which the first has a name.
fn world(mapping: &str) -> World {
    let ConfigBody::Subscription(plain) = subscription("sub_1", ENDPOINT, "*") else { panic!("it is one") };
    let mapping = Some(serde_json::from_str(mapping).unwrap());
    let world = World::with(vec![ConfigBody::Subscription(Subscription { mapping, ..plain })]);
    for data in [r#"{"name": "Ann"}"#, "{}"] {
        let offset = world.logs.append("orders", "", "0".into(), Headers::new()).offset + 1;
        let event = format!(r#"{{"id":"e{offset}","type":"a.b","data":{data}}}"#);
        world.logs.append("orders", "", event.into(), Headers::new());
    }
    world
}

/// The letter of the event at `offset`.
fn unmapped(offset: i64) -> DeadLetter {
    let mut letter = letter(1, ErrorClass::MappingFailed);
    let delivery = &mut letter.delivery;
    delivery.event_id = event_id("orders", None, &format!("e{offset}"));
    delivery.message_id = message_id(&delivery.event_id, &EndpointId::from_trusted(ENDPOINT));
    delivery.source = SourceCoordinates { topic: "orders".into(), partition: 0, offset };
    delivery.body = Bytes::new();
    letter
}

#[tokio::test(start_paused = true)]
async fn it_is_mapped_by_the_mapping_of_now_from_the_record_that_its_event_came_in() {
    let mut world = world(r#"{"body": {"who": "$.data.name"}, "path": ["$.data.name"], "method": "PUT"}"#);
    let offset = world.append_dlq(&unmapped(1));
    world.begin().await;
    let job = redrive(1, Some(ErrorClass::MappingFailed), 1);
    world.desire(&ReplayJob { dry_run: true, ..redrive(2, None, 1) }).await;
    millis(1_000).await;
    assert_eq!((world.told().matched, world.told().unavailable, world.sent().len()), (1, 0, 0));
    world.desire(&job).await;
    millis(1_000).await;
    let sent = world.sent();
    assert_eq!((sent.len(), &*sent[0].body, sent[0].path_suffix.as_str()), (1, &br#"{"who":"Ann"}"#[..], "Ann"));
    assert_eq!((&sent[0].message_id, &sent[0].run), (&unmapped(1).delivery.message_id, &run_of(&job.id, 0, offset)));
    let marks = world.marks();
    assert_eq!((marks.len(), &marks[0].run), (1, &Run::LIVE));
    assert_eq!((world.told().state, world.told().sent), (ReplayState::Done, 1));
}

#[tokio::test(start_paused = true)]
async fn of_two_sources_of_its_topic_the_one_whose_event_it_is_maps_it() {
    let mut world = world(r#"{"body": {"who": "$.data.name"}}"#);
    world.sources.insert(0, source("copies"));
    world.append_dlq(&unmapped(1));
    world.begin().await;
    world.desire(&redrive(1, None, 1)).await;
    millis(1_000).await;
    let sent = world.sent();
    assert_eq!((sent.len(), &*sent[0].body), (1, &br#"{"who":"Ann"}"#[..]));
    assert_eq!(sent[0].message_id, unmapped(1).delivery.message_id);
}

#[tokio::test(start_paused = true)]
async fn what_still_can_not_be_mapped_or_is_gone_stays_as_it_is() {
    let mut world = world(r#"{"body": {"who": "$.data.name"}}"#);
    // Of these four one has no name, one's place has no event, one's record is deleted, one's topic is not a source.
    world.append_dlq(&unmapped(3));
    world.append_dlq(&unmapped(2));
    world.append_dlq(&unmapped(99));
    let mut elsewhere = unmapped(1);
    elsewhere.delivery.source.topic = "gone".into();
    world.append_dlq(&elsewhere);
    world.begin().await;
    world.desire(&redrive(1, None, 4)).await;
    millis(60_000).await;
    let told = world.told();
    assert_eq!((told.state, told.matched, told.sent, told.unavailable), (ReplayState::Done, 4, 0, 4));
    assert!(world.sent().is_empty() && world.marks().is_empty());
}
