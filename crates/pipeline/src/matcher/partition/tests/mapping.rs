//! What becomes of events that are mapped.

use super::*;

fn mapped(number: usize, endpoint: &str, mapping: &str) -> ConfigBody {
    let ConfigBody::Subscription(plain) = subscription(number, endpoint, "*") else { panic!("it is one") };
    ConfigBody::Subscription(Subscription { mapping: Some(serde_json::from_str(mapping).unwrap()), ..plain })
}

#[tokio::test(start_paused = true)]
async fn an_event_that_can_not_be_mapped_is_dead_lettered_with_its_place_and_the_others_get_it() {
    let sink = FakeSink::new();
    let directory = Directory::with(vec![
        mapped(1, "ep_1", r#"{"body": {"who": "$.data.name"}}"#),
        mapped(2, "ep_2", r#"{"body": {"who": {"$path": "data.name", "$default": "?"}}, "method": "PUT"}"#),
        subscription(3, "ep_3", "*"),
    ]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    let mut sent: Vec<Delivery> = sink.acknowledged_for("t.deliveries").iter().map(decoded).collect();
    sent.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
    let sent: Vec<_> = sent.iter().map(|it| (it.endpoint.as_str(), it.method.as_str(), it.body.len())).collect();
    assert_eq!(sent[0], ("ep_2", "PUT", r#"{"who":"?"}"#.len()));
    assert_eq!((sent.len(), sent[1].0, sent[1].1), (2, "ep_3", "POST"));
    let letter: DeadLetter = decoded(&sink.acknowledged_for("t.dlq")[0]);
    assert_eq!((letter.error.as_str(), letter.attempts, letter.delivery.body.len()), ("mapping_failed", 0, 0));
    assert!(letter.error_message.unwrap().starts_with("mapping/body/who: 'data.name' is missing"));
    let event: DeliveryEvent = decoded(&sink.acknowledged_for("t.delivery-events")[0]);
    assert!(matches!(event.body, DeliveryEventBody::DeadLettered(ended) if ended.error == ErrorClass::MappingFailed));
    assert_eq!(test.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_makes_too_large_a_body_ends_as_any_body_that_is_too_large() {
    let sink = FakeSink::new();
    let template = "{data}".repeat(20);
    let directory = Directory::with(vec![mapped(1, "ep_1", &format!(r#"{{"body": {{"$text": "{template}"}}}}"#))]);
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    let payload = "x".repeat(100_000);
    test.send(record(0, &format!(r#"{{"type":"a.b","data":"{payload}"}}"#))).await;
    a_second().await;
    let letter: DeadLetter = decoded(&sink.acknowledged_for("t.dlq")[0]);
    assert_eq!((letter.error, test.committable()), (ErrorClass::PayloadTooLarge, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_many_mappings_want_is_mapped_for_each() {
    let sink = FakeSink::new();
    let filter = Some(serde_json::from_str(r#"{"field":"data.total","operator":"greater_than","value":1}"#).unwrap());
    let mappings = (0..300).map(|number| {
        let ConfigBody::Subscription(mapped) =
            mapped(number, &format!("ep_{number:03}"), &format!(r#"{{"body": ["$.data.total", {number}]}}"#))
        else {
            panic!("it is one")
        };
        ConfigBody::Subscription(Subscription { filter: filter.clone(), ..mapped })
    });
    let directory = Directory::with(mappings.collect());
    let (stream, test) = PartitionStream::for_test("orders", 0, 10);
    tokio::spawn(match_partition(matcher(&sink, &directory), stream));
    test.send(record(0, CREATED)).await;
    a_second().await;
    let sent: Vec<Delivery> = sink.acknowledged_for("t.deliveries").iter().map(decoded).collect();
    assert_eq!((sent.len(), test.committable()), (300, Some(1)));
    for delivery in sent {
        let number: usize = delivery.endpoint.as_str()[3..].parse().unwrap();
        assert_eq!(delivery.body, format!("[1.10,{number}]"));
    }
}
