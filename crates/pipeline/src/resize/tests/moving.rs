use bytes::Bytes;
use postrider_domain::{
    Attempt, Delivery, DeliveryEvent, DeliveryEventBody, DeliveryKind, EndpointId, EventId, MessageId, Method,
    Priority, Routing, Run, Runs, SourceCoordinates, SubscriptionId, TenantId, Timestamp,
    endpoint_state::{BlockedKey, EndpointState, Holding},
    failing::FailureRecord,
    tier::Tiers,
};
use postrider_kafka::{
    GroupPosition, Headers, Layout, NextGeneration, Outgoing, PartitionCursor, Record, TestCursor, Topics,
    routing_to_headers,
};

use crate::{
    dispatcher::{Form, ORDERING_KEY_HEADER},
    resize::{MoveError, Mover, Source},
    sink::FakeSink,
};

/// A partition of the generation in use, and what is written.
struct World {
    layout: Layout,
    sink: FakeSink,
    held: Vec<Record>,
    deliveries: Vec<Record>,
    states: Vec<Record>,
    position: GroupPosition,
}

impl World {
    fn new() -> Self {
        let layout = Layout::for_test(&Topics::new("t"), &Tiers::default(), 2);
        let position = GroupPosition::default();
        let (held, deliveries, states) = (Vec::new(), Vec::new(), Vec::new());
        Self { layout, sink: FakeSink::new(), held, deliveries, states, position }
    }

    fn record(&self, endpoint: &str, key: Option<&str>, offset: usize) -> Record {
        let delivery = Delivery {
            message_id: MessageId::from_trusted(format!("msg_{offset}")),
            run: Run::LIVE,
            kind: DeliveryKind::Live,
            event_id: EventId::from_trusted("e"),
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted(endpoint),
            subscription: SubscriptionId::from_trusted("sub_1"),
            event_type: "order.created".to_owned(),
            ordering_key: key.map(str::to_owned),
            source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 0 },
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            method: Method::Post,
            path_suffix: String::new(),
        };
        let routing = Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: Timestamp::from_millis(1),
            version: None,
            generation: 0,
            priority: Priority::Normal,
            traceparent: None,
        };
        let mut headers = routing_to_headers(&routing);
        if let Some(key) = key {
            headers.push(ORDERING_KEY_HEADER, key.to_owned());
        }
        Record {
            topic: "any".into(),
            partition: 0,
            offset: i64::try_from(offset).unwrap(),
            timestamp: Timestamp::from_millis(1),
            key: Some(endpoint.to_owned().into()),
            value: Some(self.layout.codec().encode(&delivery)),
            headers,
        }
    }

    /// Holds the next delivery of an endpoint, perhaps with an ordering key.
    fn hold(&mut self, endpoint: &str, key: Option<&str>) {
        self.held.push(self.record(endpoint, key, self.held.len()));
    }

    fn remember(&mut self, state: &EndpointState) {
        let form = Form { codec: self.layout.codec().clone(), topic: "any".into(), partition: 0 };
        let written = form.state(state);
        let offset = i64::try_from(self.states.len()).unwrap();
        let Outgoing { topic, key, value, headers, .. } = written;
        let timestamp = Timestamp::from_millis(1);
        self.states.push(Record { topic, partition: 0, offset, timestamp, key: Some(key), value, headers });
    }

    /// An endpoint holds from `position` on, but for what is done.
    fn holds(&mut self, endpoint: &str, position: i64, done: &[i64], blocked: &[(&str, i64)]) {
        let runs: Runs = done.iter().map(|offset| *offset..offset + 1).collect();
        let blocked = blocked.iter().map(|(key, from)| BlockedKey {
            key: (*key).to_owned(),
            from_offset: *from,
            attempt: Attempt::FIRST.next(),
            first_attempt_at: Some(Timestamp::from_millis(2)),
            next_at: Some(Timestamp::from_millis(3)),
            enabled_version: 4,
        });
        let blocked = blocked.collect();
        let holding = Holding { position, done: runs.encode(position, 1_000), whole: true, blocked };
        let (id, tenant) = (EndpointId::from_trusted(endpoint), TenantId::from_trusted("ten_1"));
        self.remember(&EndpointState { holding: Some(holding), ..EndpointState::new(id, tenant, 7) });
    }

    async fn copy_to(&self, generation: u32) -> Result<(), MoveError> {
        let cursor = |topic: &str, records: &[Record]| {
            let (cursor, log): (PartitionCursor, TestCursor) = PartitionCursor::for_test(topic, 0);
            log.append(records.iter().cloned());
            // Past the end that was told while it was empty.
            cursor.seek(0);
            cursor
        };
        let source = Source {
            deliveries: cursor("t.deliveries", &self.deliveries),
            held: cursor("t.held", &self.held),
            state: cursor("t.endpoint-state", &self.states),
            position: self.position.clone(),
        };
        let to = self.layout.moved_to(NextGeneration { generation, partitions: 5 });
        Mover::new(self.sink.clone(), self.layout.clone(), to).copy(source).await
    }

    /// The message ids that an endpoint has in a topic, in order; all are byte for byte what they were.
    fn copied(&self, topic: &str, endpoint: &str) -> Vec<String> {
        let copies = self.sink.acknowledged_for(topic);
        let of_endpoint = copies.iter().filter(|copy| copy.key == endpoint);
        of_endpoint
            .map(|copy| {
                let home = self.layout.moved_to(NextGeneration { generation: 1, partitions: 5 });
                assert_eq!(copy.partition, Some(home.partition("t.held.g1", endpoint)));
                let mut originals = self.held.iter().chain(&self.deliveries);
                assert!(originals.any(|record| record.value == copy.value && record.headers == copy.headers));
                let delivery: Delivery = self.layout.codec().decode(copy.value.as_ref().unwrap()).unwrap();
                delivery.message_id.to_string()
            })
            .collect()
    }

    /// Where an endpoint's copies stand.
    fn offsets(&self, endpoint: &str) -> Vec<i64> {
        let copies = self.sink.acknowledged_for("t.held.g1");
        let offsets = (0..).zip(&copies).filter(|(_, copy)| copy.key == endpoint);
        offsets.map(|(offset, _)| offset).collect()
    }

    fn state(&self, endpoint: &str) -> Option<EndpointState> {
        let states = self.sink.acknowledged_for("t.endpoint-state.g1");
        let state = states.iter().find(|state| state.key == endpoint)?;
        Some(self.layout.codec().decode(state.value.as_ref().unwrap()).unwrap())
    }

    fn holding(&self, endpoint: &str) -> Holding {
        self.state(endpoint).unwrap().holding.unwrap()
    }
}

#[tokio::test]
async fn only_what_is_not_done_is_copied_and_each_endpoints_order_is_kept() {
    let mut world = World::new();
    for _ in 0..500 {
        world.hold("ep_a", None);
        world.hold("ep_b", None);
        world.hold("ep_over", None);
    }
    world.holds("ep_a", 6, &[9, 15], &[]);
    world.holds("ep_b", 1_200, &[], &[]);
    world.copy_to(1).await.unwrap();
    let expected = |offsets: &mut dyn Iterator<Item = usize>| offsets.map(|it| format!("msg_{it}")).collect::<Vec<_>>();
    let of_a = &mut (6..1_500).step_by(3).filter(|offset| ![9, 15].contains(offset));
    assert_eq!(world.copied("t.held.g1", "ep_a"), expected(of_a));
    assert_eq!(world.copied("t.held.g1", "ep_b"), expected(&mut (1_201..1_500).step_by(3)));
    assert!(world.copied("t.held.g1", "ep_over").is_empty(), "nobody holds it any more");
    for endpoint in ["ep_a", "ep_b"] {
        let first = world.offsets(endpoint)[0];
        let holding = Holding { position: first, done: Vec::new(), whole: true, blocked: Vec::new() };
        assert_eq!(world.holding(endpoint), holding, "{endpoint}");
        assert_eq!(world.state(endpoint).unwrap().term, 0, "older than any owner's");
    }
}

#[tokio::test]
async fn a_blocked_key_waits_from_its_first_copy_on_and_keeps_what_is_known_of_its_head() {
    let mut world = World::new();
    for key in ["x", "y", "x", "z", "y", "x"] {
        world.hold("ep_a", Some(key));
    }
    // Of x the first is done, of y nothing, z is not blocked, and the head of w is not held yet.
    world.holds("ep_a", 6, &[], &[("x", 2), ("y", 1), ("w", 6)]);
    world.copy_to(1).await.unwrap();
    assert_eq!(world.copied("t.held.g1", "ep_a"), ["msg_1", "msg_2", "msg_4", "msg_5"]);
    let holding = world.holding("ep_a");
    let from: Vec<_> = holding.blocked.iter().map(|key| (key.key.as_str(), key.from_offset)).collect();
    assert_eq!(from, [("x", 1), ("y", 0), ("w", 4)]);
    assert!(holding.blocked.iter().all(|key| key.attempt.get() == 2 && key.enabled_version == 4));
    assert_eq!(holding.position, 4, "of its own nothing is left");
}

#[tokio::test]
async fn what_is_known_of_an_endpoint_goes_along_and_a_holding_without_records_ends() {
    let mut world = World::new();
    world.hold("ep_a", None);
    world.holds("ep_a", 1, &[], &[]);
    let (id, tenant) = (EndpointId::from_trusted("ep_b"), TenantId::from_trusted("ten_1"));
    let failing = FailureRecord { since: Some(Timestamp::from_millis(9)), failures: 3 };
    world.remember(&EndpointState { failing, ..EndpointState::new(id, tenant, 7) });
    world.copy_to(1).await.unwrap();
    assert_eq!(world.state("ep_a"), None);
    assert_eq!(world.state("ep_b").unwrap().failing, failing);
    assert!(world.sink.acknowledged_for("t.held.g1").is_empty());
}

#[tokio::test]
async fn what_the_dispatchers_have_not_settled_is_copied() {
    let mut world = World::new();
    for offset in 0..8 {
        let record = world.record("ep_a", None, offset);
        world.deliveries.push(record);
    }
    world.position = GroupPosition { offset: Some(3), done: std::iter::once(4..6).collect(), companion: None };
    world.copy_to(1).await.unwrap();
    assert_eq!(world.copied("t.deliveries.g1", "ep_a"), ["msg_3", "msg_6", "msg_7"]);
}

#[tokio::test(start_paused = true)]
async fn the_log_learns_where_a_delivery_is_held_now_before_a_state_says_so() {
    let mut world = World::new();
    world.hold("ep_b", None);
    world.hold("ep_a", None);
    world.hold("ep_a", None);
    world.holds("ep_a", 0, &[], &[]);
    world.sink.hold_topic("t.delivery-events", true);
    let releasing = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(world.sink.handed_over_for("t.endpoint-state.g1"), 0);
        world.sink.hold_topic("t.delivery-events", false);
    };
    let (copied, ()) = tokio::join!(world.copy_to(1), releasing);
    copied.unwrap();
    let events = world.sink.acknowledged_for("t.delivery-events");
    let events = events.iter().map(|event| world.layout.codec().decode(event.value.as_ref().unwrap()).unwrap());
    let mut places: Vec<_> = events
        .map(|event: DeliveryEvent| {
            assert!(matches!(event.body, DeliveryEventBody::Held(_)));
            let at = event.held.unwrap();
            (event.message_id.to_string(), at.topic.to_string(), at.offset)
        })
        .collect();
    places.sort();
    let place = |message: &str, offset| (message.to_owned(), "t.held.g1".to_owned(), offset);
    assert_eq!(places, [place("msg_1", 0), place("msg_2", 1)]);
    assert!(world.state("ep_a").is_some());
}

#[tokio::test]
async fn a_copy_that_was_interrupted_is_made_anew_elsewhere() {
    let mut world = World::new();
    for _ in 0..10 {
        world.hold("ep_a", None);
    }
    world.holds("ep_a", 2, &[], &[]);
    world.sink.fail_fatally("t.endpoint-state.g3");
    assert!(matches!(world.copy_to(3).await, Err(MoveError::Produce(_))));
    assert_eq!(world.sink.acknowledged_for("t.held.g3").len(), 8);
    world.copy_to(1).await.unwrap();
    assert_eq!(world.copied("t.held.g1", "ep_a").len(), 8, "each once");
    assert_eq!(world.holding("ep_a").position, 0);
}

#[tokio::test]
async fn a_record_that_nobody_can_read_is_copied_as_it_is() {
    let mut world = World::new();
    world.hold("ep_a", None);
    world.held[0].value = Some(Bytes::from_static(b"?"));
    world.held[0].headers = Headers::new();
    world.holds("ep_a", 0, &[], &[]);
    world.copy_to(1).await.unwrap();
    let copies = world.sink.acknowledged_for("t.held.g1");
    assert_eq!(copies[0].value.as_deref(), Some(&b"?"[..]));
    assert!(world.sink.acknowledged_for("t.delivery-events").is_empty());
}
