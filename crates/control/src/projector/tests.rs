//! A partition's projection, on a real Postgres.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use postrider_domain::{
    Attempt, DeliveryEvent, DeliveryEventBody, DeliveryKind, EndpointId, EventId, MessageId, Run, SourceCoordinates,
    SubscriptionId, TenantId, Timestamp,
    delivery_event::{AfterAttempt, Attempted},
};
use postrider_kafka::{
    BrokerClock, Codec, Headers, KafkaConfig, PartitionStream, Producer, Readiness, Record, TestPartition,
};
use postrider_postgres::{
    Database, connect, connect_service, delivery_log, local::LocalPostgres, migrate, projector_offsets,
};
use tokio::task::JoinHandle;

use super::{Health, LogPolicy, ProjectorError, Shared, partition};

mod activity;
mod counting;
mod dead_letters;
mod held;
mod state;

const TOPIC: &str = "postrider.delivery-events";
const STATE_TOPIC: &str = "postrider.endpoint-state";
const DLQ_TOPIC: &str = "postrider.dlq";
const DEADLINE: Duration = Duration::from_secs(30);

struct Fixture {
    server: LocalPostgres,
    pool: Database,
    codec: Codec,
    readiness: Readiness,
    shared: Arc<Shared>,
}

impl Fixture {
    async fn new() -> Self {
        let server = LocalPostgres::start(None).await.unwrap();
        migrate(&connect(&server.create_database("log").await.unwrap(), 1).await.unwrap()).await.unwrap();
        let pool = connect_service(&server.service_url("log"), 4).await.unwrap();
        let (codec, readiness) = (Codec::new(), Readiness::new());
        let shared = shared(pool.clone(), codec.clone(), &readiness, LogPolicy::All);
        Self { server, pool, codec, readiness, shared }
    }

    /// A new owner of partition 0.
    fn owner(&self) -> (TestPartition, JoinHandle<Result<(), ProjectorError>>) {
        own(&self.shared, TOPIC, 0)
    }

    /// A delivered attempt at `offset`.
    fn record(&self, offset: i64) -> Record {
        record(TOPIC, 0, offset, Some(self.codec.encode(&delivered(offset))))
    }

    async fn stored(&self) -> Option<i64> {
        let mut conn = self.pool.acquire().await.unwrap();
        projector_offsets::get(&mut conn, TOPIC, 0).await.unwrap()
    }

    /// How many of the first `count` messages have exactly one attempt in the log.
    async fn logged(&self, count: i64) -> i64 {
        let mut conn = self.pool.acquire().await.unwrap();
        let mut logged = 0;
        for offset in 0..count {
            let message = MessageId::from_trusted(format!("msg_{offset}"));
            let attempts =
                delivery_log::attempts_of(&mut conn, &TenantId::from_trusted("ten_1"), &message).await.unwrap();
            logged += i64::from(attempts.len() == 1);
        }
        logged
    }
}

/// A projector into the database of `pool`.
fn shared(pool: Database, codec: Codec, readiness: &Readiness, log: LogPolicy) -> Arc<Shared> {
    // Nothing is produced in these tests: nothing need listen there.
    let kafka = KafkaConfig::embedded("127.0.0.1:1", "test");
    let health = Health::new(readiness.register("projector"));
    health.started();
    Arc::new(Shared {
        pool,
        codec,
        producer: Producer::new(&kafka, BrokerClock::new(true)).unwrap(),
        rejected_topic: "postrider.rejected".to_owned(),
        state_topic: STATE_TOPIC.to_owned(),
        log,
        dlq_topic: DLQ_TOPIC.to_owned(),
        health,
    })
}

/// A new owner of a partition.
fn own(shared: &Arc<Shared>, topic: &str, partition: i32) -> (TestPartition, JoinHandle<Result<(), ProjectorError>>) {
    let (stream, feed) = PartitionStream::for_test(topic, partition, 100);
    (feed, tokio::spawn(partition::run(stream, shared.clone())))
}

fn record(topic: &str, partition: i32, offset: i64, value: Option<Bytes>) -> Record {
    Record {
        topic: topic.into(),
        partition,
        offset,
        timestamp: Timestamp::from_millis(2),
        key: Some(Bytes::from_static(b"key")),
        value,
        headers: Headers::new(),
    }
}

/// That `msg_<number>` was delivered.
pub(super) fn delivered(number: i64) -> DeliveryEvent {
    DeliveryEvent {
        message_id: MessageId::from_trusted(format!("msg_{number}")),
        run: Run::LIVE,
        kind: DeliveryKind::Live,
        attempt: Attempt::FIRST,
        version: None,
        held: None,
        stored: None,
        event_id: EventId::from_trusted("event"),
        event_type: "order.created".to_owned(),
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted("ep_1"),
        subscription: SubscriptionId::from_trusted("sub_1"),
        source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: number },
        matched_at: Timestamp::from_millis(1),
        at: Timestamp::from_millis(2),
        body: DeliveryEventBody::Attempted(Attempted {
            started_at: Timestamp::from_millis(1),
            duration_us: 5,
            status: Some(200),
            error: None,
            error_message: None,
            response_excerpt: None,
            next: AfterAttempt::Delivered,
            next_attempt_at: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            phases: None,
        }),
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

#[tokio::test]
async fn rows_and_offset_are_written_before_anything_is_settled() {
    let fixture = Fixture::new().await;
    let (partition, _task) = fixture.owner();
    for offset in 0..50 {
        partition.send(fixture.record(offset)).await;
    }
    until("all is settled", || partition.outstanding() == 0).await;
    assert_eq!(fixture.stored().await, Some(50));
    assert_eq!(fixture.logged(50).await, 50);
}

#[tokio::test]
async fn without_postgres_nothing_is_settled_and_the_log_is_complete_afterwards() {
    let mut fixture = Fixture::new().await;
    let (partition, task) = fixture.owner();
    partition.send(fixture.record(0)).await;
    until("the first record is settled", || partition.outstanding() == 0).await;

    fixture.server.stop().await.unwrap();
    for offset in 1..10 {
        partition.send(fixture.record(offset)).await;
    }
    until("the projector says so", || !fixture.readiness.is_ready()).await;
    assert!(partition.outstanding() > 0, "nothing may be settled that is not written");

    fixture.server.restart().await.unwrap();
    until("all is settled", || partition.outstanding() == 0).await;
    assert!(fixture.readiness.is_ready());
    assert_eq!((fixture.stored().await, fixture.logged(10).await), (Some(10), 10));
    partition.stopped.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_former_owner_wrote_late_is_not_written_twice() {
    let fixture = Fixture::new().await;
    let (former, _former_task) = fixture.owner();
    former.send(fixture.record(0)).await;
    until("the former owner has begun", || former.outstanding() == 0).await;
    let (owner, _owner_task) = fixture.owner();
    owner.send(fixture.record(1)).await;
    until("the new owner has begun", || owner.outstanding() == 0).await;

    // Both have the next records; each goes on from what the other wrote.
    for offset in 1..6 {
        former.send(fixture.record(offset)).await;
    }
    for offset in 2..8 {
        owner.send(fixture.record(offset)).await;
    }
    until("both are done", || former.outstanding() + owner.outstanding() == 0).await;
    assert_eq!((fixture.stored().await, fixture.logged(8).await), (Some(8), 8));
}

#[tokio::test]
async fn a_database_that_went_back_ends_the_projector() {
    let fixture = Fixture::new().await;
    let (partition, task) = fixture.owner();
    for offset in 0..5 {
        partition.send(fixture.record(offset)).await;
    }
    until("all is settled", || partition.outstanding() == 0).await;
    let mut conn = fixture.pool.acquire().await.unwrap();
    assert!(projector_offsets::compare_and_set(&mut conn, TOPIC, 0, Some(5), 3).await.unwrap());
    partition.send(fixture.record(5)).await;
    let ended = tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ProjectorError::Rewound { written: 5, stored: Some(3), .. })), "{ended:?}");
}
