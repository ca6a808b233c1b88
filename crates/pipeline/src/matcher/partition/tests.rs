use bytes::Bytes;
use postrider_domain::{
    ConfigBody, Delivery, DeliveryEvent, DeliveryEventBody, DirectoryVersion, Endpoint, EndpointId, ErrorClass,
    EventType, EventTypeId, Subscription, SubscriptionId, TenantId, Timestamp,
    dedupe::DedupeLimits,
    delivery_event::DeadLetter,
    endpoint::{BodyStyle, EndpointSettings},
    event_type::ValidationMode,
    json_text::JsonText,
    replay::MatchedFrom,
    seal::{KeyRing, SealedAt},
    tier::Tiers,
};
use postrider_kafka::{Codec, Headers, Layout, Record, Topics, routing_from_headers};
use rand::{SeedableRng, rngs::StdRng};

mod mapping;
mod several;
mod waiting;

use super::*;
use crate::{
    directory::Directory,
    matcher::{Decoder, SourceConfig},
    sink::FakeSink,
};

const TENANT: &str = "ten_01hzzzzzzzzzzzzzzzzzzzzzzz";

fn subscription(number: usize, endpoint: &str, pattern: &str) -> ConfigBody {
    ConfigBody::Subscription(Subscription {
        id: SubscriptionId::from_trusted(format!("sub_{number}")),
        tenant: TenantId::from_trusted(TENANT),
        endpoint: EndpointId::from_trusted(endpoint),
        event_types: vec![pattern.parse().unwrap()],
        filter: None,
        mapping: None,
        created_at: Timestamp::EPOCH,
    })
}

fn endpoint(id: &str, body: BodyStyle) -> ConfigBody {
    let mut rng = StdRng::seed_from_u64(1);
    let keys = KeyRing::parse(&KeyRing::generate_text(&mut rng)).unwrap();
    let (tenant, id) = (TenantId::from_trusted(TENANT), EndpointId::from_trusted(id));
    let at = SealedAt { tenant: &tenant, entity: &(&id).into(), purpose: "endpoint.url", version: 1 };
    ConfigBody::Endpoint(Box::new(Endpoint {
        url: keys.seal(b"https://example.com/", at, &mut rng),
        id,
        tenant,
        origin: "https://example.com".to_owned(),
        enabled: true,
        enabled_version: 1,
        timeout_ms: 30_000,
        retry: serde_json::from_str(r#"{"delays_seconds":[30]}"#).unwrap(),
        secrets: Vec::new(),
        settings: EndpointSettings { body, ..EndpointSettings::default() },
    }))
}

fn matcher(sink: &FakeSink, directory: &Directory) -> Arc<RecordMatcher<FakeSink>> {
    matcher_with(sink, directory, None)
}

fn matcher_with(sink: &FakeSink, directory: &Directory, dedupe: Option<DedupeLimits>) -> Arc<RecordMatcher<FakeSink>> {
    let source =
        SourceConfig { tenant: Some(TenantId::from_trusted(TENANT)), dedupe, ..SourceConfig::new("orders", "orders") };
    matcher_of(sink, directory, Decoder::new(Arc::new(source), None, None))
}

fn matcher_of(sink: &FakeSink, directory: &Directory, decoder: Decoder) -> Arc<RecordMatcher<FakeSink>> {
    let (topics, tiers) = (Topics::new("t"), Tiers::default());
    let layout = Layout::for_test(&topics, &tiers, 6);
    Arc::new(RecordMatcher::new(decoder, &topics, &layout, directory, sink.clone()))
}

fn record(offset: i64, value: &str) -> Record {
    Record {
        topic: "orders".into(),
        partition: 0,
        offset,
        timestamp: Timestamp::from_millis(1_000),
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    }
}

const CREATED: &str = r#"{"id":"evt-1","type":"order.created","data":{"total": 1.10}}"#;

async fn a_second() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn decoded<T: postrider_kafka::AvroRecord>(record: &postrider_kafka::Outgoing) -> T {
    Codec::new().decode(record.value.as_ref().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_event_becomes_one_delivery_for_each_endpoint_that_wants_it() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![
        subscription(1, "ep_1", "order.*"),
        subscription(2, "ep_1", "*"),
        subscription(3, "ep_2", "order.created"),
        subscription(4, "ep_3", "invoice.*"),
    ]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(5, CREATED)).await;
    a_second().await;
    let sent = sink.acknowledged_for("t.deliveries");
    let keys: Vec<_> = sent.iter().map(|record| &*record.key).collect();
    assert_eq!(keys, [b"ep_1", b"ep_2"]);
    let delivery: Delivery = decoded(&sent[0]);
    assert_eq!(delivery.subscription.as_str(), "sub_1");
    assert!(delivery.body.ends_with(br#""data":{"total": 1.10}}"#));
    let routing = routing_from_headers(&sent[0].headers).unwrap();
    assert_eq!((routing.attempt.get(), routing.version), (1, Some(DirectoryVersion { epoch: 1, seq: 4 })));
    assert_eq!(test.committable(), Some(6));
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_gets_the_body_that_it_asks_for() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![
        endpoint("ep_1", BodyStyle::Envelope),
        endpoint("ep_2", BodyStyle::CloudeventsBinary),
        subscription(1, "ep_1", "*"),
        subscription(2, "ep_2", "*"),
    ]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    let sent: Vec<Delivery> = sink.acknowledged_for("t.deliveries").iter().map(decoded).collect();
    assert!(sent[0].headers.is_empty() && sent[0].body.starts_with(br#"{"type":"order.created""#));
    assert_eq!((&sent[1].body[..], sent[1].headers.len()), (&br#"{"total": 1.10}"#[..], 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_written_in_the_order_of_its_offsets() {
    const EVENTS: i64 = 4_000;
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10_000);
    for offset in 0..EVENTS {
        test.send(record(offset, &format!(r#"{{"id":"{offset}","type":"order.created","data":{offset}}}"#))).await;
    }
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    tokio::time::timeout(Duration::from_secs(20), async {
        while test.committable() != Some(EVENTS) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    let codec = Codec::new();
    let sent = sink.acknowledged_for("t.deliveries");
    let offset = |value: &Bytes| codec.decode::<Delivery>(value).unwrap().source.offset;
    let offsets: Vec<i64> = sent.iter().map(|record| offset(record.value.as_ref().unwrap())).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_settled_once_all_its_deliveries_are_acknowledged() {
    let sink = FakeSink::new();
    sink.hold(true);
    let directory = Directory::with(vec![subscription(1, "ep_1", "*"), subscription(2, "ep_2", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(0, CREATED)).await;
    test.send(record(1, CREATED)).await;
    a_second().await;
    assert_eq!((sink.handed_over(), test.committable()), (4 + 1, Some(0)), "and an announcement");
    sink.hold(false);
    a_second().await;
    assert_eq!(test.committable(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_wants_and_what_has_no_value_is_settled() {
    let sink = FakeSink::new();
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &Directory::with(vec![subscription(1, "ep_1", "a.*")])), stream));
    test.send(record(0, CREATED)).await;
    test.send(Record { value: None, ..record(1, "") }).await;
    a_second().await;
    assert_eq!((sink.acknowledged_for("t.deliveries").len(), test.committable()), (0, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn an_undecodable_record_is_rejected_and_the_partition_goes_on() {
    let sink = FakeSink::new();
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &Directory::with(vec![subscription(1, "ep_1", "*")])), stream));
    test.send(record(0, "nonsense")).await;
    test.send(record(1, CREATED)).await;
    a_second().await;
    let rejected = sink.acknowledged_for("t.rejected");
    assert_eq!((rejected[0].key.as_ref(), rejected[0].value.as_deref()), (&b"orders/0/0"[..], Some(&b"nonsense"[..])));
    assert_eq!(rejected[0].headers.get_str("pr-reason"), Some("undecodable"));
    assert_eq!((sink.acknowledged_for("t.deliveries").len(), test.committable()), (1, Some(2)));
}

fn event_type(name: &str, validation: ValidationMode) -> ConfigBody {
    let schema = r#"{"type": "object", "properties": {"total": {"type": "number"}}}"#;
    ConfigBody::EventType(Box::new(EventType {
        id: EventTypeId::from_trusted(format!("ety_{name}")),
        name: name.to_owned(),
        group: String::new(),
        description: String::new(),
        schema: Some(JsonText::parse(schema).unwrap()),
        validation,
        archived: false,
    }))
}

#[tokio::test(start_paused = true)]
async fn data_that_does_not_fit_its_types_schema_is_rejected_only_by_a_type_that_rejects() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![
        subscription(1, "ep_1", "*"),
        event_type("a.rejecting", ValidationMode::Reject),
        event_type("a.reporting", ValidationMode::Report),
        event_type("a.off", ValidationMode::Off),
    ]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    for (offset, name) in ["a.rejecting", "a.reporting", "a.off", "a.unknown"].into_iter().enumerate() {
        let value = format!(r#"{{"type":"{name}","data":{{"total":"s3cret"}}}}"#);
        test.send(record(i64::try_from(offset).unwrap(), &value)).await;
    }
    test.send(record(4, r#"{"type":"a.rejecting","data":{"total":1.5}}"#)).await;
    a_second().await;
    let rejected = sink.acknowledged_for("t.rejected");
    let [rejected] = &rejected[..] else { panic!("{rejected:?}") };
    assert_eq!((&rejected.key[..], rejected.headers.get_str("pr-reason")), (&b"orders/0/0"[..], Some("schema")));
    let message = rejected.headers.get_str("pr-message").unwrap();
    for part in ["'a.rejecting'", "'/total'", "'/properties/total/type'"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("s3cret"), "{message}");
    let delivered = sink.acknowledged_for("t.deliveries");
    let types: Vec<String> = delivered.iter().map(|record| decoded::<Delivery>(record).event_type).collect();
    assert_eq!(types, ["a.reporting", "a.off", "a.unknown", "a.rejecting"]);
    assert_eq!(test.committable(), Some(5));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_matched_before_the_directory_is_complete() {
    let sink = FakeSink::new();
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    let matching = tokio::spawn(match_partition(matcher(&sink, &Directory::new(Codec::new())), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    assert_eq!((test.outstanding(), test.committable()), (1, Some(0)));
    test.stopped.cancel();
    matching.await.unwrap().unwrap();
    assert_eq!((sink.handed_over(), test.outstanding(), test.committable()), (0, 0, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_too_large_ends_in_the_dead_letter_queue_without_its_body() {
    let sink = FakeSink::new();
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &Directory::with(vec![subscription(1, "ep_1", "*")])), stream));
    // The record is within its limit; what is rendered of it is not.
    let payload = "x".repeat((1 << 20) - 40);
    test.send(record(0, &format!(r#"{{"type":"a.b","data":"{payload}"}}"#))).await;
    a_second().await;
    assert!(sink.acknowledged_for("t.deliveries").is_empty());
    let letter: DeadLetter = decoded(&sink.acknowledged_for("t.dlq")[0]);
    assert_eq!((letter.error.as_str(), letter.delivery.body.len()), ("payload_too_large", 0));
    let event: DeliveryEvent = decoded(&sink.acknowledged_for("t.delivery-events")[0]);
    assert!(matches!(event.body, DeliveryEventBody::DeadLettered(_)));
    assert_eq!(test.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_its_topic_refuses_is_dead_lettered_too() {
    let sink = FakeSink::new();
    sink.refuse_from("t.deliveries", 1);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &Directory::with(vec![subscription(1, "ep_1", "*")])), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    assert_eq!((sink.acknowledged_for("t.dlq").len(), test.committable()), (1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_for_good_ends_the_matcher() {
    let sink = FakeSink::new();
    sink.fail_fatally("t.deliveries");
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    let matching =
        tokio::spawn(match_partition(matcher(&sink, &Directory::with(vec![subscription(1, "ep_1", "*")])), stream));
    test.send(record(0, CREATED)).await;
    assert!(matches!(matching.await.unwrap(), Err(StageError::Produce(_))));
    assert_eq!(test.committable(), Some(0));
}

const DEDUPE: DedupeLimits = DedupeLimits { window: Duration::from_mins(10), max_ids: 1_000 };

#[tokio::test(start_paused = true)]
async fn a_producers_own_duplicate_is_settled_and_not_delivered_again() {
    for (dedupe, deliveries) in [(Some(DEDUPE), 2), (None, 3)] {
        let sink = FakeSink::new();
        let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
        let (stream, test) = PartitionStream::for_test("orders", 0, 10);
        tokio::spawn(match_partition(matcher_with(&sink, &directory, dedupe), stream));
        test.send(record(0, CREATED)).await;
        test.send(record(1, CREATED)).await;
        test.send(record(2, r#"{"id":"evt-2","type":"order.created","data":1}"#)).await;
        a_second().await;
        assert_eq!(sink.acknowledged_for("t.deliveries").len(), deliveries, "{dedupe:?}");
        assert_eq!(test.committable(), Some(3));
    }
}

#[tokio::test(start_paused = true)]
async fn another_tenants_event_of_the_same_id_is_no_duplicate() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher_with(&sink, &directory, Some(DEDUPE)), stream));
    let other = r#"{"id":"evt-1","type":"order.created","tenant":"ten_01hyyyyyyyyyyyyyyyyyyyyyyy","data":1}"#;
    test.send(record(0, other)).await;
    test.send(record(1, CREATED)).await;
    a_second().await;
    assert_eq!((sink.acknowledged_for("t.deliveries").len(), test.committable()), (1, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_what_is_in_flight_waits_until_that_is_settled() {
    let sink = FakeSink::new();
    sink.hold(true);
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher_with(&sink, &directory, Some(DEDUPE)), stream));
    test.send(record(0, CREATED)).await;
    test.send(record(1, CREATED)).await;
    a_second().await;
    assert_eq!((sink.handed_over(), test.outstanding(), test.committable()), (1 + 1, 2, Some(0)));
    sink.hold(false);
    a_second().await;
    assert_eq!((sink.handed_over(), test.committable()), (1 + 1, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_delivery_failed_makes_nothing_a_duplicate() {
    let sink = FakeSink::new();
    sink.fail_fatally("t.deliveries");
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    let matching = tokio::spawn(match_partition(matcher_with(&sink, &directory, Some(DEDUPE)), stream));
    test.send(record(0, CREATED)).await;
    test.send(record(1, CREATED)).await;
    assert!(matching.await.unwrap().is_err());
    // Neither is settled: both are read again, and one of them is delivered.
    assert_eq!((test.committable(), test.outstanding()), (Some(0), 0));
}

fn announced(sink: &FakeSink) -> Vec<(i64, i64)> {
    let written = sink.acknowledged_for("t.progress");
    let decoded = written.iter().map(decoded::<MatchedFrom>);
    decoded.map(|from| (from.version.seq, from.offset)).collect()
}

#[tokio::test(start_paused = true)]
async fn from_where_on_a_new_subscription_is_matched_is_told_exactly() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    a_second().await;
    assert_eq!(announced(&sink), [(1, 0)], "also where nothing comes");
    test.send(record(0, CREATED)).await;
    test.send(record(1, CREATED)).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    directory.add(subscription(2, "ep_2", "*"));
    test.send(record(5, CREATED)).await;
    a_second().await;
    let keys: Vec<_> = sink.acknowledged_for("t.deliveries").iter().map(|record| record.key.clone()).collect();
    assert_eq!(keys, ["ep_1", "ep_1", "ep_1", "ep_2"]);
    assert_eq!(announced(&sink), [(1, 0), (2, 5)]);
    directory.add(subscription(3, "ep_3", "*"));
    a_second().await;
    a_second().await;
    assert_eq!(announced(&sink), [(1, 0), (2, 5), (3, 6)], "the offset that is read next");
}

#[tokio::test(start_paused = true)]
async fn nothing_behind_an_announcement_is_settled_before_it_is_acknowledged() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(1, "ep_1", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    sink.hold_topic("t.progress", true);
    directory.add(subscription(2, "ep_2", "*"));
    test.send(record(1, CREATED)).await;
    a_second().await;
    assert_eq!((sink.acknowledged_for("t.deliveries").len(), test.committable()), (3, Some(1)));
    sink.hold_topic("t.progress", false);
    a_second().await;
    assert_eq!((announced(&sink), test.committable()), (vec![(1, 0), (2, 1)], Some(2)));
}

#[tokio::test(start_paused = true)]
async fn many_new_subscriptions_are_told_in_few_announcements_that_skip_nothing() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![subscription(0, "ep_0", "*")]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    // Each event is matched by one more subscription.
    let mut began = Vec::new();
    for number in 1..=50 {
        directory.add(subscription(number, &format!("ep_{number}"), "never.*"));
        let offset = i64::try_from(number).unwrap();
        began.push((offset + 1, offset));
        test.send(record(offset, CREATED)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    a_second().await;
    a_second().await;
    let told = announced(&sink);
    assert!(told.len() <= 20, "{told:?}");
    for (seq, offset) in began {
        let end = told.iter().find(|(told, _)| *told >= seq).expect("it is told");
        assert!(end.1 >= offset, "a backfill of {seq} would end at {end:?}, before {offset}");
    }
    assert_eq!(test.committable(), Some(51));
}
