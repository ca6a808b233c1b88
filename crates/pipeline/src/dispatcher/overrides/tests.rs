//! The table and its follower, without a broker.

use std::time::Duration;

use bytes::Bytes;
use postrider_domain::{
    JobId, MessageId, Run, Timestamp,
    overrides::{OVERRIDE_KEPT, Override, override_key},
    tier::Tiers,
};
use postrider_kafka::{Headers, Layout, Readiness, Record, Sink as _, TableEvent, Topics};

use super::{Overrides, follower::Follower};
use crate::sink::FakeSink;

const TOPIC: &str = "postrider.overrides";

struct Here {
    overrides: Overrides,
    layout: Layout,
    sink: FakeSink,
    readiness: Readiness,
    follower: Follower<FakeSink>,
}

impl Here {
    fn new() -> Self {
        let topics = Topics::new("postrider");
        let layout = Layout::for_test(&topics, &Tiers::default(), 1);
        let (overrides, sink, readiness) = (Overrides::new(), FakeSink::new(), Readiness::new());
        let handle = readiness.register("overrides");
        let follower = Follower::new(overrides.clone(), &topics, &layout, sink.clone(), handle);
        Self { overrides, layout, sink, readiness, follower }
    }

    fn now(&self) -> Timestamp {
        self.sink.clock().now()
    }

    async fn reads(&mut self, key: &str, value: Option<Bytes>) {
        let record = Record {
            topic: TOPIC.into(),
            partition: 0,
            offset: 0,
            timestamp: Timestamp::EPOCH,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value,
            headers: Headers::new(),
        };
        self.follower.take(TableEvent::Record(record)).await.unwrap();
    }

    async fn reads_order(&mut self, order: &Override) {
        let value = self.layout.codec().encode(order);
        self.reads(&override_key(&order.message_id, &order.run), Some(value)).await;
    }

    async fn ends(&mut self) {
        self.follower.take(TableEvent::EndOfPartition).await.unwrap();
    }

    /// What was written to the topic: the key, and whether there is a value.
    fn written(&self) -> Vec<(String, bool)> {
        let written = self.sink.acknowledged_for(TOPIC);
        let key = |key: &Bytes| String::from_utf8(key.to_vec()).unwrap();
        written.iter().map(|record| (key(&record.key), record.value.is_some())).collect()
    }
}

fn message(n: usize) -> MessageId {
    MessageId::from_trusted(format!("msg_{n}"))
}

fn cancelled(n: usize, run: Run, until: Timestamp) -> Override {
    Override { message_id: message(n), run, cancelled: true, superseded_below: 0, until }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_about_one_run_of_one_message() {
    let mut here = Here::new();
    let redrive = Run::replay(JobId::from_trusted("job_1"), 3);
    assert_eq!(here.overrides.of(&message(1), &Run::LIVE), None);
    let order = cancelled(1, Run::LIVE, here.now() + OVERRIDE_KEPT);
    here.reads_order(&order).await;
    assert_eq!(here.overrides.of(&message(1), &Run::LIVE), Some(order));
    assert_eq!(here.overrides.of(&message(1), &redrive), None);
    assert_eq!(here.overrides.of(&message(2), &Run::LIVE), None);
    let newer = Override { cancelled: false, superseded_below: 2, ..cancelled(1, Run::LIVE, here.now()) };
    here.reads_order(&newer).await;
    assert_eq!((here.overrides.of(&message(1), &Run::LIVE), here.overrides.len()), (Some(newer), 1));
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_once_it_was_read_to_its_end() {
    let mut here = Here::new();
    let patience = Duration::from_mins(1);
    assert!(tokio::time::timeout(patience, here.overrides.wait_until_read()).await.is_err());
    assert!(!here.readiness.is_ready());
    here.ends().await;
    tokio::time::timeout(patience, here.overrides.wait_until_read()).await.unwrap();
    assert!(here.readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_an_hour_ago_is_forgotten_and_deleted_from_the_topic() {
    let mut here = Here::new();
    let now = here.now();
    let redrive = Run::replay(JobId::from_trusted("job_1"), 3);
    here.reads_order(&cancelled(1, redrive.clone(), now)).await;
    here.reads_order(&cancelled(1, Run::LIVE, now + Duration::from_hours(2))).await;
    tokio::time::advance(Duration::from_mins(59)).await;
    here.follower.sweep().await.unwrap();
    assert_eq!((here.overrides.len(), here.written()), (2, vec![]));
    tokio::time::advance(Duration::from_mins(1)).await;
    here.follower.sweep().await.unwrap();
    assert_eq!((here.overrides.len(), here.written()), (1, vec![("msg_1/job_1:3".to_owned(), false)]));
    assert!(here.overrides.of(&message(1), &redrive).is_none() && here.overrides.of(&message(1), &Run::LIVE).is_some());
    here.follower.sweep().await.unwrap();
    assert_eq!(here.written().len(), 1, "once");
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_deletes_what_has_expired_and_never_what_is_in_force() {
    let mut here = Here::new();
    let now = here.now();
    here.reads_order(&cancelled(1, Run::LIVE, now)).await;
    here.reads_order(&cancelled(2, Run::LIVE, now + OVERRIDE_KEPT)).await;
    here.reads("msg_1/0", None).await;
    here.reads("msg_2/0", None).await;
    here.reads("nonsense", None).await;
    assert_eq!(here.overrides.of(&message(1), &Run::LIVE), None);
    assert!(here.overrides.of(&message(2), &Run::LIVE).is_some());
    here.ends().await;
    assert_eq!(here.written(), [("msg_2/0".to_owned(), true)], "its record is written again");
    here.ends().await;
    assert_eq!(here.written().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_order_is_rejected_with_its_bytes_and_what_was_known_stays() {
    let mut here = Here::new();
    let order = cancelled(1, Run::LIVE, here.now() + OVERRIDE_KEPT);
    here.reads_order(&order).await;
    here.reads("msg_1/0", Some("garbage".into())).await;
    assert_eq!(here.overrides.of(&message(1), &Run::LIVE), Some(order));
    let rejected = here.sink.acknowledged_for("postrider.rejected");
    assert_eq!(rejected.iter().map(|record| record.value.as_deref()).collect::<Vec<_>>(), [Some(&b"garbage"[..])]);
}

#[tokio::test(start_paused = true)]
async fn an_order_of_an_unknown_schema_holds_the_table_and_reports_unready() {
    let mut here = Here::new();
    here.ends().await;
    let mut bytes = here.layout.codec().encode(&cancelled(1, Run::LIVE, Timestamp::EPOCH)).to_vec();
    bytes[2] ^= 0xff;
    let read = tokio::time::timeout(Duration::from_mins(1), here.reads("msg_1/0", Some(bytes.into()))).await;
    assert!(read.is_err());
    assert!(!here.readiness.is_ready());
}
