//! Matching rejected records again.

use bytes::Bytes;
use postrider_domain::{
    ConfigBody, Delivery, Subscription,
    message_id::event_id,
    replay::{RejectedQuery, ReplaySource, ReplayState},
};
use postrider_kafka::{Headers, RejectReason, reject, reject_of_source};

use super::world::{World, job, millis, ranges, source, subscription};
use crate::matcher::{FieldFrom, Fields, SourceConfig, SourceFormat};

/// Rejects a record of `topic` with this value, as a stage does.
async fn rejected(world: &World, topic: &str, value: &str) {
    rejected_with_key(world, topic, "", value).await;
}

async fn rejected_with_key(world: &World, topic: &str, key: &str, value: &str) {
    let record = world.logs.append(topic, key, Bytes::copy_from_slice(value.as_bytes()), Headers::new());
    let aside = crate::sink::FakeSink::new();
    reject(&aside, "t.rejected", &record, RejectReason::Undecodable, "no").await.unwrap();
    let written = aside.acknowledged().pop().unwrap();
    let key = std::str::from_utf8(&written.key).unwrap().to_owned();
    world.logs.append("t.rejected", &key, written.value.unwrap(), written.headers);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_understood_now_is_matched_and_the_rest_counted() {
    let mut world = World::new();
    rejected(&world, "orders", r#"{"id":"e1","type":"order.created","data":1}"#).await;
    rejected(&world, "orders", "still nonsense").await;
    rejected(&world, "t.deliveries", "one of our own").await;
    world.begin().await;
    let query = RejectedQuery { ranges: ranges(0, 3), ..RejectedQuery::default() };
    world.desire(&job(1, ReplaySource::Rejected(query))).await;
    millis(1_000).await;
    let (sent, told) = (world.sent(), world.told());
    assert_eq!((sent.len(), sent[0].source.offset, &*sent[0].source.topic), (1, 0, "orders"));
    assert!(sent[0].body.ends_with(br#""data":1}"#));
    assert_eq!((told.state, told.matched, told.sent, told.unavailable), (ReplayState::Done, 3, 1, 2));
}

async fn replayed(world: &mut World, records: i64) -> Vec<Delivery> {
    world.begin().await;
    let query = RejectedQuery { ranges: ranges(0, records), ..RejectedQuery::default() };
    world.desire(&job(1, ReplaySource::Rejected(query))).await;
    millis(1_000).await;
    world.sent()
}

#[tokio::test(start_paused = true)]
async fn a_record_is_what_it_was_also_in_its_key_and_its_time() {
    let mut world = World::new();
    world.sources[0].fields =
        Fields { id: Some(FieldFrom::Key), time: Some(FieldFrom::Timestamp), ..Fields::default() };
    world.logs.append("orders", "", Bytes::new(), Headers::new());
    rejected_with_key(&world, "orders", "k-7", r#"{"type":"order.created","data":1}"#).await;
    let sent = replayed(&mut world, 1).await;
    assert_eq!(sent[0].event_id, event_id("orders", None, "k-7"));
    assert!(sent[0].body.starts_with(br#"{"type":"order.created","timestamp":"1970-01-01T00:00:01.000Z""#));
}

#[tokio::test(start_paused = true)]
async fn of_two_sources_of_a_topic_the_one_that_rejected_a_record_matches_it_again() {
    let mut world = World::new();
    world.sources.push(SourceConfig { format: SourceFormat::Json, ..source("copies") });
    let value = Bytes::from_static(br#"{"id":"e1","type":"order.created","data":1}"#);
    let record = world.logs.append("orders", "", value, Headers::new());
    for name in ["copies", "orders", "gone"] {
        let aside = crate::sink::FakeSink::new();
        reject_of_source(&aside, "t.rejected", &record, name, RejectReason::Undecodable, "no").await.unwrap();
        let written = aside.acknowledged().pop().unwrap();
        world.logs.append("t.rejected", "k", written.value.unwrap(), written.headers);
    }
    let sent = replayed(&mut world, 3).await;
    let ids: Vec<_> = sent.iter().map(|delivery| delivery.event_id.clone()).collect();
    assert_eq!(ids, [event_id("copies", None, "e1"), event_id("orders", None, "e1")]);
    assert_eq!((world.told().matched, world.told().unavailable), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_every_event_that_can_be_understood_is_matched() {
    let mut world = World::new();
    let event = |id: u8| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/","type":"a.b","data":{id}}}"#);
    rejected(&world, "orders", &format!("[{},7,{}]", event(1), event(2))).await;
    let sent = replayed(&mut world, 1).await;
    let ids: Vec<_> = sent.iter().map(|delivery| delivery.event_id.clone()).collect();
    assert_eq!(ids, [event_id("orders", Some("/"), "1"), event_id("orders", Some("/"), "2")]);
    assert_eq!((world.told().matched, world.told().sent), (1, 2));
}

/// Each has a body of its own, of up to a MiB.
#[tokio::test(start_paused = true)]
async fn what_many_mappings_make_of_a_record_is_written_a_few_at_a_time() {
    let mapped = |number: usize| {
        let ConfigBody::Subscription(plain) = subscription(&format!("sub_{number}"), &format!("ep_{number}"), "*")
        else {
            panic!("it is one")
        };
        let mapping = Some(serde_json::from_str(&format!(r#"{{"body": ["$.data", {number}]}}"#)).unwrap());
        ConfigBody::Subscription(Subscription { mapping, ..plain })
    };
    let mut world = World::with((0..50).map(mapped).collect());
    rejected(&world, "orders", r#"{"id":"e1","type":"order.created","data":7}"#).await;
    world.sink.hold_topic("t.deliveries", true);
    assert!(replayed(&mut world, 1).await.is_empty());
    assert_eq!(world.sink.handed_over_for("t.deliveries"), 4 + 16);
    world.sink.hold_topic("t.deliveries", false);
    millis(1_000).await;
    let sent = world.sent();
    let bodies: std::collections::HashSet<_> = sent.iter().map(|delivery| delivery.body.clone()).collect();
    assert_eq!((sent.len(), bodies.len(), world.told().sent), (50, 50, 50));
    assert!(bodies.contains(&b"[7,49]"[..]));
}
