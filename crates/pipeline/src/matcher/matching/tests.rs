use bytes::Bytes;
use postrider_domain::{EventId, SourceCoordinates, TenantId, Timestamp, filter::Filter};

use super::*;

fn event() -> Event {
    Event {
        id: EventId::from_trusted("id"),
        producer_id: None,
        source: "orders".to_owned(),
        tenant: TenantId::from_trusted("ten_1"),
        event_type: "order.created".to_owned(),
        time: Timestamp::EPOCH,
        subject: None,
        ordering_key: Some("7".to_owned()),
        data: Bytes::from_static(br#"{"total": 100}"#),
        previous: None,
        content_type: "application/json".to_owned(),
        coordinates: SourceCoordinates { topic: "t".into(), partition: 0, offset: 3 },
    }
}

fn subscription(id: &str, endpoint: &str, created_at: i64, over: Option<i64>) -> Arc<Subscription> {
    let filter = over.map(|value| format!(r#"{{"field":"data.total","operator":"greater_than","value":{value}}}"#));
    Arc::new(Subscription {
        id: SubscriptionId::from_trusted(id),
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted(endpoint),
        event_types: vec!["*".parse().unwrap()],
        filter: filter.map(|filter| serde_json::from_str::<Filter>(&filter).unwrap()),
        mapping: None,
        created_at: Timestamp::from_millis(created_at),
    })
}

fn ids(deciding: &[Arc<Subscription>]) -> Vec<&str> {
    deciding.iter().map(|subscription| subscription.id.as_str()).collect()
}

#[test]
fn of_several_subscriptions_of_an_endpoint_the_oldest_decides() {
    let candidates = vec![
        subscription("sub_c", "ep_1", 2, None),
        subscription("sub_b", "ep_1", 1, None),
        subscription("sub_a", "ep_1", 1, None),
        subscription("sub_d", "ep_2", 9, None),
    ];
    assert_eq!(ids(&deciding(&EventView::new(&event()), candidates, Scope::All)), ["sub_a", "sub_d"]);
}

#[test]
fn a_subscription_whose_filter_does_not_hold_does_not_decide() {
    let candidates = vec![
        subscription("sub_a", "ep_1", 1, Some(100)),
        subscription("sub_b", "ep_1", 2, Some(99)),
        subscription("sub_c", "ep_2", 1, Some(1_000)),
    ];
    assert_eq!(ids(&deciding(&EventView::new(&event()), candidates, Scope::All)), ["sub_b"]);
}

#[test]
fn only_what_is_in_scope_decides() {
    let candidates = || {
        vec![
            subscription("sub_a", "ep_1", 1, None),
            subscription("sub_b", "ep_1", 2, None),
            subscription("sub_c", "ep_2", 1, None),
        ]
    };
    let (endpoint, newer) = (EndpointId::from_trusted("ep_1"), SubscriptionId::from_trusted("sub_b"));
    assert_eq!(ids(&deciding(&EventView::new(&event()), candidates(), Scope::Endpoint(&endpoint))), ["sub_a"]);
    assert_eq!(ids(&deciding(&EventView::new(&event()), candidates(), Scope::Subscription(&newer))), ["sub_b"]);
}

#[test]
fn a_delivery_has_the_same_message_id_whenever_it_is_matched() {
    let event = event();
    let rendered = render(&event, BodyStyle::Envelope);
    let of = |subscription: Arc<Subscription>| delivery(&event, rendered.clone(), &subscription, Run::LIVE);
    let (first, again) = (of(subscription("sub_a", "ep_1", 1, None)), of(subscription("sub_b", "ep_1", 2, None)));
    assert_eq!(first.message_id, again.message_id);
    assert_ne!(first.message_id, of(subscription("sub_a", "ep_2", 1, None)).message_id);
    assert_eq!((first.ordering_key.as_deref(), first.run), (Some("7"), Run::LIVE));
    assert!(std::str::from_utf8(&first.body).unwrap().ends_with(r#""data":{"total": 100}}"#));
}

#[test]
fn each_style_is_rendered_once_and_its_headers_go_with_the_delivery() {
    let event = event();
    let mut bodies = Bodies::of(&event);
    let first = bodies.in_style(BodyStyle::Crm).body.clone();
    assert_eq!(bodies.in_style(BodyStyle::Crm).body.as_ptr(), first.as_ptr());
    let binary = delivery(
        &event,
        bodies.in_style(BodyStyle::CloudeventsBinary).clone(),
        &subscription("sub_a", "ep_1", 1, None),
        Run::LIVE,
    );
    assert_eq!((&binary.body, binary.headers[1].name.as_str()), (&event.data, "ce-id"));
    assert_eq!(binary.headers[1].value, "id");
}

fn mapped(mapping: &str, style: BodyStyle) -> Composed {
    let event = event();
    let mapping = Some(serde_json::from_str(mapping).unwrap());
    let subscription = Subscription { mapping, ..Subscription::clone(&subscription("sub_a", "ep_1", 1, None)) };
    let rendered = Bodies::of(&event).of_subscription(&subscription, style);
    compose(&EventView::new(&event), rendered, &subscription, Run::LIVE)
}

#[test]
fn a_mapping_makes_the_whole_request() {
    let mapping =
        r#"{"body": {"sum": "$.data.total"}, "headers": {"X-Kind": "$.type"}, "path": ["a b"], "method": "PATCH"}"#;
    let Composed::Ready(delivery) = mapped(mapping, BodyStyle::CloudeventsBinary) else { panic!("it can be mapped") };
    assert_eq!((&*delivery.body, delivery.content_type.as_str()), (&br#"{"sum":100}"#[..], "application/json"));
    let headers: Vec<_> = delivery.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!((headers, delivery.path_suffix.as_str(), delivery.method), (vec!["x-kind"], "a%20b", Method::Patch));
}

#[test]
fn a_mapping_without_a_body_leaves_the_endpoints_own() {
    let Composed::Ready(delivery) = mapped(r#"{"headers": {"X-Kind": "$.type"}}"#, BodyStyle::CloudeventsBinary) else {
        panic!("it can be mapped")
    };
    assert_eq!((&delivery.body, delivery.headers[0].name.as_str()), (&event().data, "ce-specversion"));
    assert_eq!(delivery.headers.last().unwrap().name, "x-kind");
    assert_eq!((delivery.path_suffix.as_str(), delivery.method), ("", Method::Post));
}

#[test]
fn what_can_not_be_mapped_has_no_body_and_says_why() {
    let mapping = r#"{"headers": {"X-Kind": "$.data.kind"}}"#;
    let Composed::Unmapped(unmapped) = mapped(mapping, BodyStyle::Raw) else { panic!("it can't be mapped") };
    assert!(unmapped.delivery.body.is_empty() && unmapped.delivery.headers.is_empty());
    assert_eq!((unmapped.error.at.as_str(), unmapped.error.path.as_deref()), ("/headers/X-Kind", Some("data.kind")));
}
