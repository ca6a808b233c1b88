//! Group members on the in-process broker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::Gauge;
use postrider_domain::DirectoryVersion;
use tokio::time::timeout;

use super::{Inbound, PartitionStream, QueueLimits, StageConfig, StageConsumer};
use crate::{BrokerClock, Headers, KafkaConfig, Outgoing, Producer, Shutdown, mock::MockBroker};

const PATIENCE: Duration = Duration::from_secs(30);
const TOPIC: &str = "deliveries";
const COMPANION: &str = "held";

struct Here {
    _broker: MockBroker,
    kafka: KafkaConfig,
    producer: Producer,
}

/// A member that was assigned the only partition.
struct Member {
    consumer: StageConsumer,
    stream: PartitionStream,
    shutdown: Shutdown,
}

impl Here {
    fn start() -> Self {
        let broker = MockBroker::start(vec![(TOPIC.to_owned(), 1), (COMPANION.to_owned(), 1)]).unwrap();
        let kafka = KafkaConfig::embedded(broker.bootstrap_servers(), "test");
        let producer = Producer::new(&kafka, BrokerClock::new(true)).unwrap();
        Self { _broker: broker, kafka, producer }
    }

    async fn append(&self, count: usize) {
        let headers = Headers::new();
        let record =
            Outgoing { topic: TOPIC.into(), partition: Some(0), key: "k".into(), value: Some("v".into()), headers };
        for _ in 0..count {
            self.producer.send(&record).await.unwrap();
        }
    }

    async fn join(&self) -> Member {
        let shutdown = Shutdown::new();
        let mut config = StageConfig::new("dispatcher".to_owned(), vec![TOPIC.to_owned()]);
        config.companion = Some(COMPANION.to_owned());
        let mut consumer = StageConsumer::start(&self.kafka, config, shutdown.clone()).unwrap();
        let stream = timeout(PATIENCE, consumer.next_partition()).await.expect("it is assigned in time").unwrap();
        Member { consumer, stream, shutdown }
    }
}

impl Member {
    async fn take(&mut self, count: usize) -> Vec<Inbound> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(timeout(PATIENCE, self.stream.next()).await.expect("a record comes in time").unwrap());
        }
        taken
    }

    async fn leave(self) {
        self.shutdown.soft.cancel();
        drop(self.stream);
        timeout(PATIENCE, self.consumer.closed()).await.expect("it leaves in time");
    }
}

fn offsets(inbounds: &[Inbound]) -> Vec<i64> {
    inbounds.iter().map(|inbound| inbound.record.offset).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_comes_back_resumes_with_what_was_not_settled() {
    let here = Here::start();
    here.append(10).await;
    let mut first = here.join().await;
    assert_eq!(first.stream.companion_start(), None);
    first.stream.set_companion(7);
    first.stream.set_version(DirectoryVersion { epoch: 1, seq: 5 });
    let taken = first.take(10).await;
    for inbound in taken {
        if ![2, 5, 6].contains(&inbound.record.offset) {
            inbound.token.settle();
        }
    }
    first.leave().await;

    here.append(1).await;
    let mut second = here.join().await;
    assert_eq!(second.stream.companion_start(), Some(7));
    assert_eq!(second.stream.start_metadata().version, Some(DirectoryVersion { epoch: 1, seq: 5 }));
    let taken = second.take(4).await;
    assert_eq!(offsets(&taken), [2, 5, 6, 10]);
    let (stopped, aborted) = (second.stream.stopped(), second.stream.aborted());
    second.shutdown.soft.cancel();
    timeout(PATIENCE, stopped.cancelled()).await.expect("the partition is stopped");
    // What the stage settles while it drains counts, until it lets go of the partition.
    taken.into_iter().filter(|inbound| inbound.record.offset != 5).for_each(|inbound| inbound.token.settle());
    second.stream.set_companion(8);
    assert!(!aborted.is_cancelled());
    second.leave().await;

    let mut third = here.join().await;
    assert_eq!(third.stream.companion_start(), Some(8));
    assert_eq!(offsets(&third.take(1).await), [5]);
    here.append(1).await;
    assert_eq!(offsets(&third.take(1).await), [11]);
    third.leave().await;
}

/// What the gauge shows.
fn shown(gauge: &AtomicU64) -> f64 {
    f64::from_bits(gauge.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lag_grows_while_nothing_is_taken_from_a_partition() {
    let here = Here::start();
    here.append(10).await;
    let gauge = Arc::new(AtomicU64::default());
    let mut config = StageConfig::new("matcher".to_owned(), vec![TOPIC.to_owned()]);
    config.lag = Some(Gauge::from_arc(gauge.clone()));
    config.queue = QueueLimits { records: 2, bytes: 1_024 };
    let shutdown = Shutdown::new();
    let mut consumer = StageConsumer::start(&here.kafka, config, shutdown.clone()).unwrap();
    let stream = timeout(PATIENCE, consumer.next_partition()).await.expect("it is assigned in time").unwrap();
    let grows_to = async |lag: f64| {
        let shows = async {
            while shown(&gauge).total_cmp(&lag).is_ne() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = timeout(PATIENCE, shows).await;
        seen.unwrap_or_else(|_| panic!("the lag is {} and not {lag}", shown(&gauge)));
    };
    grows_to(10.0).await;
    here.append(2_000).await;
    grows_to(2_010.0).await;
    Member { consumer, stream, shutdown }.leave().await;
}
