//! Matching rejected records again.

use bytes::Bytes;
use postrider_domain::replay::{RejectedQuery, ReplaySource, ReplayState};
use postrider_kafka::{Headers, RejectReason, reject};

use super::world::{World, job, millis, ranges};

/// Rejects a record of `topic` with this value, as a stage does.
async fn rejected(world: &World, topic: &str, value: &str) {
    let record = world.logs.append(topic, "", Bytes::copy_from_slice(value.as_bytes()), Headers::new());
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
