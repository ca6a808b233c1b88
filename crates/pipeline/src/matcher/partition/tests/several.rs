//! Records that are several events.

use postrider_domain::Priority;
use postrider_kafka::{TopicPattern, TopicSelection};

use super::*;

fn cloudevent(id: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/","type":"order.created","data":"{id}"}}"#)
}

fn batch(ids: &[&str]) -> String {
    let events: Vec<String> = ids.iter().map(|id| cloudevent(id)).collect();
    format!("[{}]", events.join(","))
}

/// The data of the deliveries, in the order in which they were written.
fn delivered(sink: &FakeSink) -> Vec<String> {
    let data = |record: &postrider_kafka::Outgoing| {
        let delivery: Delivery = decoded(record);
        let body: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
        body["data"].as_str().unwrap().to_owned()
    };
    sink.acknowledged_for("t.deliveries").iter().map(data).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_settled_once_all_its_events_are_delivered() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    sink.hold(true);
    test.send(record(1, &batch(&["a", "b", "c"]))).await;
    a_second().await;
    assert_eq!((sink.handed_over(), test.committable()), (1 + 1 + 3, Some(1)), "one before, and an announcement");
    sink.hold(false);
    a_second().await;
    assert_eq!(test.committable(), Some(2));
    let ids: std::collections::BTreeSet<_> =
        sink.acknowledged_for("t.deliveries").iter().map(|it| decoded::<Delivery>(it).message_id).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_events_of_batches_are_written_in_their_order() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 200);
    let mut expected = Vec::new();
    for number in 0..100 {
        let ids: Vec<String> = (0..number % 7).map(|index| format!("{number}-{index}")).collect();
        test.send(record(number, &batch(&ids.iter().map(String::as_str).collect::<Vec<_>>()))).await;
        expected.extend(ids);
    }
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    a_second().await;
    assert_eq!(delivered(&sink), expected);
    assert_eq!(test.committable(), Some(100), "an empty batch is settled too");
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_with_a_bad_event_the_good_ones_are_delivered_and_the_record_is_rejected() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    let value = format!("[{},1,2,{}]", cloudevent("a"), cloudevent("d"));
    test.send(record(0, &value)).await;
    a_second().await;
    assert_eq!(delivered(&sink), ["a", "d"]);
    let rejected = sink.acknowledged_for("t.rejected");
    assert_eq!((rejected.len(), rejected[0].value.as_deref()), (1, Some(value.as_bytes())));
    let message = rejected[0].headers.get_str("pr-message").unwrap();
    assert!(message.starts_with("event 2 of 4: ") && message.ends_with("; and 1 more of its events"), "{message}");
    assert_eq!(test.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn duplicates_in_batches_are_dropped_and_no_two_batches_wait_for_each_other() {
    let sink = FakeSink::new();
    sink.hold(true);
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher_with(&sink, &directory, Some(DEDUPE)), stream));
    for (offset, ids) in [(0, &["c"][..]), (1, &["a", "b", "a"]), (2, &["b", "c", "a"]), (3, &["c", "b", "d"])] {
        test.send(record(offset, &batch(ids))).await;
    }
    a_second().await;
    sink.hold(false);
    a_second().await;
    let mut found = delivered(&sink);
    found.sort_unstable();
    assert_eq!(found, ["a", "b", "c", "d"]);
    assert_eq!(test.committable(), Some(4));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_bounded_by_its_bytes_and_all_of_it_is_delivered() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 100);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    a_second().await;
    sink.hold(true);
    let before = sink.handed_over();
    for offset in 0..40 {
        let large = "x".repeat(600 << 10);
        test.send(record(offset, &format!(r#"{{"id":"{offset}","type":"a.b","data":"{large}"}}"#))).await;
    }
    a_second().await;
    let in_flight = sink.handed_over() - before;
    assert!((2..10).contains(&in_flight), "{in_flight} of 40 records of 600 KiB");
    sink.hold(false);
    a_second().await;
    assert_eq!((sink.acknowledged_for("t.deliveries").len(), test.committable()), (40, Some(40)));
}

#[tokio::test(start_paused = true)]
async fn topics_of_a_pattern_tell_apart_from_where_on_subscriptions_are_matched() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let pattern = TopicSelection::Pattern(TopicPattern::new("^shop\\.", Topics::new("t")).unwrap());
    let source = SourceConfig { topics: pattern, ..SourceConfig::new("shop", "") };
    let matcher = matcher_of(&sink, &directory, Decoder::new(Arc::new(source), None, None));
    for topic in ["shop.a", "shop.b"] {
        let (stream, test) = PartitionStream::for_test(topic, 0, 10);
        tokio::spawn(match_partition(matcher.clone(), stream));
        a_second().await;
        drop(test);
    }
    let written = sink.acknowledged_for("t.progress");
    let sources: Vec<String> = written.iter().map(|it| decoded::<MatchedFrom>(it).source).collect();
    assert_eq!(sources, ["shop/shop.a", "shop/shop.b"]);
}

#[tokio::test(start_paused = true)]
async fn deliveries_have_the_priority_of_their_source() {
    for priority in Priority::ALL {
        let sink = FakeSink::new();
        let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
        let tenant = Some(TenantId::from_trusted(TENANT));
        let source = SourceConfig { tenant, priority, ..SourceConfig::new("orders", "orders") };
        let matcher = matcher_of(&sink, &directory, Decoder::new(Arc::new(source), None, None));
        let (stream, test) = PartitionStream::for_test("orders", 0, 10);
        tokio::spawn(match_partition(matcher, stream));
        test.send(record(0, CREATED)).await;
        a_second().await;
        let sent = sink.acknowledged_for("t.deliveries");
        assert_eq!(routing_from_headers(&sent[0].headers).unwrap().priority, priority);
    }
}
