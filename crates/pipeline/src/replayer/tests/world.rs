//! Logs in memory, what stands in them, and a replayer that works on them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_domain::{
    ConfigBody, Delivery, DeliveryKind, EndpointId, ErrorClass, EventId, JobId, MessageId, Method, Run,
    SourceCoordinates, Subscription, SubscriptionId, TenantId, Timestamp,
    delivery_event::DeadLetter,
    replay::{
        DeadLetterMark, DeadLetterQuery, DesiredState, OffsetRange, OffsetRanges, ReplayJob, ReplayProgress,
        ReplaySource,
    },
    tier::Tiers,
};
use postrider_kafka::{
    AvroRecord, Codec, DlqRecord, Headers, Layout, Outgoing, PartitionCursor, PartitionStream, ProgressRecord, Record,
    StartAt, TestCursor, TestPartition, Topics,
};
use tokio::task::JoinHandle;

use crate::{
    directory::Directory,
    matcher::SourceConfig,
    replayer::{
        logs::{LogReader, Logs},
        partition,
        shared::Shared,
    },
    sink::FakeSink,
    stage::StageError,
};

pub(super) const TENANT: &str = "ten_01hzzzzzzzzzzzzzzzzzzzzzzz";
pub(super) const ENDPOINT: &str = "ep_1";

/// Logs in memory. Every topic has one partition.
#[derive(Clone, Default)]
pub(super) struct FakeLogs(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    topics: HashMap<String, Vec<Record>>,
    open: Vec<(String, TestCursor)>,
    lag: i64,
}

pub(super) struct FakeReader {
    logs: FakeLogs,
    topic: String,
}

impl FakeLogs {
    /// Appends a record. Answers it as it stands there.
    pub(super) fn append(&self, topic: &str, key: &str, value: Bytes, headers: Headers) -> Record {
        let mut state = self.0.lock();
        let records = state.topics.entry(topic.to_owned()).or_default();
        let offset = i64::try_from(records.len()).unwrap();
        let record = Record {
            topic: topic.into(),
            partition: 0,
            offset,
            timestamp: Timestamp::from_millis(offset * 1_000),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: Some(value),
            headers,
        };
        records.push(record.clone());
        for (_, cursor) in state.open.iter().filter(|(open, _)| open == topic) {
            cursor.append([record.clone()]);
        }
        record
    }
}

impl Logs for FakeLogs {
    type Reader = FakeReader;

    fn reader(&self, topic: &str) -> Result<FakeReader, String> {
        Ok(FakeReader { logs: self.clone(), topic: topic.to_owned() })
    }

    async fn lags(&self) -> Result<HashMap<i32, i64>, String> {
        Ok(HashMap::from([(0, self.0.lock().lag)]))
    }
}

impl LogReader for FakeReader {
    fn open(&self, partition: i32, from: StartAt) -> PartitionCursor {
        assert_eq!(partition, 0);
        let mut state = self.logs.0.lock();
        let (cursor, test) = PartitionCursor::for_test(&self.topic, partition);
        let records = state.topics.get(&self.topic).cloned().unwrap_or_default();
        let end = i64::try_from(records.len()).unwrap();
        test.append(records);
        cursor.seek(match from {
            StartAt::Beginning => 0,
            StartAt::Offset(offset) => offset,
            StartAt::End => end,
        });
        state.open.push((self.topic.clone(), test));
        cursor
    }
}

/// A source of the topic `orders`.
pub(super) fn source(name: &str) -> SourceConfig {
    SourceConfig { tenant: Some(TenantId::from_trusted(TENANT)), ..SourceConfig::new(name, "orders") }
}

/// The logs, and a replayer that works on the one partition of jobs.
pub(super) struct World {
    pub(super) logs: FakeLogs,
    pub(super) sink: FakeSink,
    pub(super) codec: Codec,
    /// The sources that are configured.
    pub(super) sources: Vec<SourceConfig>,
    directory: Directory,
    /// Records of the sink that stand in the logs.
    absorbed: usize,
    /// The records of the jobs topic that its partition's stream has been given.
    owner: Option<Owner>,
}

struct Owner {
    partition: TestPartition,
    working: JoinHandle<Result<(), StageError>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(vec![subscription("sub_1", ENDPOINT, "*")])
    }

    pub(super) fn with(subscriptions: Vec<ConfigBody>) -> Self {
        let (logs, sink, codec) = (FakeLogs::default(), FakeSink::new(), Codec::new());
        let sources = vec![source("orders")];
        Self { logs, sink, codec, sources, directory: Directory::with(subscriptions), absorbed: 0, owner: None }
    }

    /// A dead letter in the queue. Answers its offset.
    pub(super) fn dead(&self, number: usize, error: ErrorClass) -> i64 {
        self.append_dlq(&letter(number, error))
    }

    pub(super) fn append_dlq<T: AvroRecord>(&self, record: &T) -> i64 {
        self.logs.append("t.dlq", ENDPOINT, self.codec.encode(record), Headers::new()).offset
    }

    /// How far the dispatchers are behind.
    pub(super) fn lag(&self, records: i64) {
        self.logs.0.lock().lag = records;
    }

    /// Somebody takes the partition of jobs over.
    pub(super) async fn begin(&mut self) {
        let (topics, tiers) = (Topics::new("t"), Tiers::default());
        let layout = Layout::for_test(&topics, &tiers, 1);
        let (logs, sink) = (self.logs.clone(), self.sink.clone());
        let shared = Shared::new(topics, layout, self.directory.clone(), (self.sources.clone(), None), logs, sink);
        let (stream, partition) = PartitionStream::for_test("t.jobs", 0, 100);
        let known = self.logs.0.lock().topics.get("t.jobs").cloned().unwrap_or_default();
        if let Some(last) = known.last() {
            partition.send(last.clone()).await;
        }
        let working = tokio::spawn(partition::serve(Arc::new(shared), stream));
        self.owner = Some(Owner { partition, working });
        moment().await;
    }

    /// Says what is desired of a job.
    pub(super) async fn desire(&self, job: &ReplayJob) {
        self.write_job(job.id.as_str(), self.codec.encode(job)).await;
    }

    /// Writes a record of the jobs topic.
    pub(super) async fn write_job(&self, key: &str, value: Bytes) {
        let record = self.logs.append("t.jobs", key, value, Headers::new());
        if let Some(owner) = &self.owner {
            owner.partition.send(record).await;
        }
        moment().await;
    }

    /// The partition goes elsewhere: waits until the owner has let go of it.
    pub(super) async fn revoke(&mut self) {
        let owner = self.owner.take().unwrap();
        owner.partition.stopped.cancel();
        owner.working.await.unwrap().unwrap();
        self.absorb();
    }

    /// The owner dies.
    pub(super) async fn kill(&mut self) {
        let owner = self.owner.take().unwrap();
        owner.working.abort();
        assert!(owner.working.await.unwrap_err().is_cancelled());
        self.absorb();
    }

    /// Lets what was written stand in the logs.
    fn absorb(&mut self) {
        let written = self.sink.acknowledged();
        for Outgoing { topic, key, value, headers, .. } in written.into_iter().skip(self.absorbed) {
            self.logs.append(&topic, std::str::from_utf8(&key).unwrap(), value.unwrap(), headers);
            self.absorbed += 1;
        }
    }

    /// The deliveries that were made.
    pub(super) fn sent(&self) -> Vec<Delivery> {
        let sent = self.sink.acknowledged_for("t.deliveries");
        sent.iter().map(|record| self.codec.decode(record.value.as_ref().unwrap()).unwrap()).collect()
    }

    /// The message ids of the deliveries that were made.
    pub(super) fn sent_ids(&self) -> Vec<String> {
        self.sent().iter().map(|delivery| delivery.message_id.to_string()).collect()
    }

    /// The marks that were made.
    pub(super) fn marks(&self) -> Vec<DeadLetterMark> {
        let written = self.sink.acknowledged_for("t.dlq");
        let decoded = written.iter().map(|record| DlqRecord::decode(&self.codec, record.value.as_ref().unwrap()));
        decoded
            .map(|record| match record.unwrap() {
                DlqRecord::Mark(mark) => mark,
                DlqRecord::Letter(letter) => panic!("{letter:?}"),
            })
            .collect()
    }

    /// What was told last.
    pub(super) fn told(&self) -> ReplayProgress {
        let told = self.sink.acknowledged_for("t.progress");
        let last = told.last().expect("something was told").value.as_ref().unwrap();
        match ProgressRecord::decode(&self.codec, last).unwrap() {
            ProgressRecord::Progress(progress) => progress,
            ProgressRecord::MatchedFrom(from) => panic!("{from:?}"),
        }
    }
}

/// Lets what can go on go on.
pub(super) async fn moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

pub(super) async fn millis(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

pub(super) fn subscription(id: &str, endpoint: &str, pattern: &str) -> ConfigBody {
    ConfigBody::Subscription(Subscription {
        id: SubscriptionId::from_trusted(id),
        tenant: TenantId::from_trusted(TENANT),
        endpoint: EndpointId::from_trusted(endpoint),
        event_types: vec![pattern.parse().unwrap()],
        filter: None,
        mapping: None,
        created_at: Timestamp::EPOCH,
    })
}

pub(super) fn letter(number: usize, error: ErrorClass) -> DeadLetter {
    DeadLetter {
        delivery: Delivery {
            message_id: MessageId::from_trusted(format!("msg_{number}")),
            run: Run::LIVE,
            kind: DeliveryKind::Live,
            event_id: EventId::from_trusted(format!("e{number}")),
            tenant: TenantId::from_trusted(TENANT),
            endpoint: EndpointId::from_trusted(ENDPOINT),
            subscription: SubscriptionId::from_trusted("sub_1"),
            event_type: "order.created".to_owned(),
            ordering_key: None,
            source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 0 },
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            method: Method::Post,
            path_suffix: String::new(),
        },
        attempts: 3,
        error,
        error_message: None,
        last_status: None,
        response_excerpt: None,
        matched_at: Timestamp::EPOCH,
        first_attempt_at: Some(Timestamp::EPOCH),
        at: Timestamp::from_millis(1_000),
        traceparent: None,
    }
}

pub(super) fn ranges(from: i64, to: i64) -> OffsetRanges {
    OffsetRanges([(0, OffsetRange { from, to })].into())
}

pub(super) fn job(number: u8, source: ReplaySource) -> ReplayJob {
    ReplayJob {
        id: JobId::from_trusted(format!("job_{number}")),
        tenant: None,
        source,
        dry_run: false,
        rate_per_second: 10_000,
        desired: DesiredState::Running,
        created_by: "test".to_owned(),
        created_at: Timestamp::EPOCH,
    }
}

/// A redrive of what ended for `error` (none: of everything) in the first `to` records of the queue.
pub(super) fn redrive(number: u8, error: Option<ErrorClass>, to: i64) -> ReplayJob {
    job(
        number,
        ReplaySource::DeadLetters(DeadLetterQuery { error, ranges: ranges(0, to), ..DeadLetterQuery::default() }),
    )
}
