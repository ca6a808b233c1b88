//! Backfilling from a source.

use postrider_domain::{
    DirectoryVersion, EndpointId, SubscriptionId, Timestamp,
    replay::{Backfill, MatchedFrom, OffsetRange, ReplayJob, ReplaySource, ReplayState, run_of},
};
use postrider_kafka::Headers;

use super::world::{World, job, millis, ranges, subscription};

const VERSION: DirectoryVersion = DirectoryVersion { epoch: 1, seq: 2 };

/// Two endpoints; the second's subscription is the newest. Twenty events.
fn world() -> World {
    let world = World::with(vec![subscription("sub_1", "ep_1", "*"), subscription("sub_2", "ep_2", "order.*")]);
    for number in 0..20 {
        let kind = if number % 2 == 0 { "order.created" } else { "invoice.paid" };
        let event = format!(r#"{{"id":"e{number}","type":"{kind}","data":{number}}}"#);
        world.logs.append("orders", "", event.into(), Headers::new());
    }
    world
}

fn backfill(subscription: Option<&'static str>, to: i64) -> ReplayJob {
    let wish = Backfill {
        source: "orders".to_owned(),
        endpoint: EndpointId::from_trusted("ep_2"),
        subscription: subscription.map(SubscriptionId::from_trusted),
        version: VERSION,
        since: Timestamp::from_millis(4_000),
        until: None,
        ranges: ranges(4, to),
    };
    job(1, ReplaySource::Backfill(wish))
}

fn matched_from(world: &World, seq: i64, offset: i64) {
    let version = DirectoryVersion { seq, ..VERSION };
    let from = MatchedFrom { source: "orders".to_owned(), partition: 0, version, offset };
    world.logs.append("t.progress", &from.key(), world.codec.encode(&from), Headers::new());
}

/// The offsets of the events that were delivered.
fn delivered(world: &World) -> Vec<i64> {
    world.sent().iter().map(|delivery| delivery.source.offset).collect()
}

#[tokio::test(start_paused = true)]
async fn a_subscriptions_backfill_waits_for_the_matcher_and_ends_where_it_began() {
    let mut world = world();
    matched_from(&world, 1, 0);
    world.begin().await;
    let job = backfill(Some("sub_2"), OffsetRange::NO_END);
    world.desire(&job).await;
    millis(5_000).await;
    assert!(world.sent().is_empty());
    assert!(world.told().message.unwrap().contains("waits for the matcher of source 'orders'"));
    matched_from(&world, 3, 11);
    matched_from(&world, 4, 15);
    millis(1_000).await;
    assert_eq!(delivered(&world), [4, 6, 8, 10], "those that it wants, from the time asked for to the first such end");
    let sent = world.sent();
    assert!(sent.iter().all(|delivery| delivery.endpoint.as_str() == "ep_2"));
    assert_eq!(sent[0].run, run_of(&job.id, 0, 4));
    assert_eq!((world.told().state, world.told().seen, world.told().sent), (ReplayState::Done, 7, 4));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_asked_for_comes_before_the_matchers() {
    let mut world = world();
    matched_from(&world, 2, 11);
    world.begin().await;
    world.desire(&backfill(Some("sub_2"), 7)).await;
    millis(1_000).await;
    assert_eq!(delivered(&world), [4, 6]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoints_backfill_ends_where_the_source_ended_when_it_was_made() {
    let mut world = world();
    world.begin().await;
    world.desire(&backfill(None, 18)).await;
    millis(1_000).await;
    assert_eq!(delivered(&world), [4, 6, 8, 10, 12, 14, 16]);
    assert_eq!(world.told().state, ReplayState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_matcher_that_began_before_the_time_asked_for_leaves_nothing_to_do() {
    let mut world = world();
    matched_from(&world, 2, 0);
    world.begin().await;
    world.desire(&backfill(Some("sub_2"), OffsetRange::NO_END)).await;
    millis(1_000).await;
    assert_eq!((world.sent().len(), world.told().state, world.told().remaining), (0, ReplayState::Done, 0));
}
