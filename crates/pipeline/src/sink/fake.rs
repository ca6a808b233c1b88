//! A sink in memory, for the tests of stages.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use postrider_kafka::{Ack, BrokerClock, Outgoing, ProduceError};
use tokio::sync::watch;

use super::Sink;

/// Remembers what was written; acknowledgements can be held back, and topics made to fail.
#[derive(Clone)]
pub(crate) struct FakeSink(Arc<Inner>);

struct Inner {
    clock: BrokerClock,
    handed_over: Mutex<Vec<Arc<str>>>,
    acknowledged: Mutex<Vec<Outgoing>>,
    failures: Mutex<HashMap<String, Fails>>,
    held: watch::Sender<bool>,
    readers: Mutex<HashMap<String, Reader>>,
    held_topics: watch::Sender<HashSet<String>>,
}

/// What is told of each record that a topic got.
type Reader = Box<dyn Fn(&Outgoing) + Send + Sync>;

struct Fails {
    /// Only records with at least so many bytes of value.
    from_bytes: usize,
    error: ProduceError,
}

impl FakeSink {
    /// Acknowledges everything at once, under a clock that goes with the test's (paused) time.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            clock: BrokerClock::new(true),
            handed_over: Mutex::default(),
            acknowledged: Mutex::default(),
            failures: Mutex::default(),
            held: watch::Sender::new(false),
            readers: Mutex::default(),
            held_topics: watch::Sender::default(),
        }))
    }

    /// Lets every write to `topic` fail for good.
    pub(crate) fn fail_fatally(&self, topic: &str) {
        let error = ProduceError::Fatal { topic: topic.to_owned(), reason: "planted".to_owned() };
        self.0.failures.lock().insert(topic.to_owned(), Fails { from_bytes: 0, error });
    }

    /// Refuses values of at least so many bytes for `topic`, as too large.
    pub(crate) fn refuse_from(&self, topic: &str, from_bytes: usize) {
        let error = ProduceError::TooLarge { topic: topic.to_owned(), reason: "planted".to_owned() };
        self.0.failures.lock().insert(topic.to_owned(), Fails { from_bytes, error });
    }

    /// Holds acknowledgements back, until told otherwise.
    pub(crate) fn hold(&self, held: bool) {
        self.0.held.send_replace(held);
    }

    /// Tells `reader` of each record that `topic` gets, before it is acknowledged.
    pub(crate) fn read_by(&self, topic: &str, reader: impl Fn(&Outgoing) + Send + Sync + 'static) {
        self.0.readers.lock().insert(topic.to_owned(), Box::new(reader));
    }

    /// Holds the acknowledgements of one topic back, until told otherwise.
    pub(crate) fn hold_topic(&self, topic: &str, held: bool) {
        self.0.held_topics.send_modify(|topics| {
            if held {
                topics.insert(topic.to_owned());
            } else {
                topics.remove(topic);
            }
        });
    }

    /// How many records were handed over, acknowledged or not.
    pub(crate) fn handed_over(&self) -> usize {
        self.0.handed_over.lock().len()
    }

    /// How many records were handed over for `topic`, acknowledged or not.
    pub(crate) fn handed_over_for(&self, topic: &str) -> usize {
        self.0.handed_over.lock().iter().filter(|known| &***known == topic).count()
    }

    /// What was acknowledged, in that order.
    pub(crate) fn acknowledged(&self) -> Vec<Outgoing> {
        self.0.acknowledged.lock().clone()
    }

    /// What was acknowledged for `topic`, in that order.
    pub(crate) fn acknowledged_for(&self, topic: &str) -> Vec<Outgoing> {
        self.acknowledged().into_iter().filter(|record| &*record.topic == topic).collect()
    }
}

impl Sink for FakeSink {
    async fn send(&self, record: Outgoing) -> Result<Ack, ProduceError> {
        self.0.handed_over.lock().push(record.topic.clone());
        // The sender lives in this very sink.
        let _ = self.0.held.subscribe().wait_for(|held| !held).await;
        let _ = self.0.held_topics.subscribe().wait_for(|topics| !topics.contains(&*record.topic)).await;
        let size = record.value.as_ref().map_or(0, bytes::Bytes::len);
        let failures = self.0.failures.lock();
        if let Some(fails) = failures.get(&*record.topic).filter(|fails| size >= fails.from_bytes) {
            return Err(fails.error.clone());
        }
        let mut acknowledged = self.0.acknowledged.lock();
        let before = acknowledged.iter().filter(|known| known.topic == record.topic).count();
        let offset = i64::try_from(before).expect("a test writes few records");
        let ack = Ack { partition: record.partition.unwrap_or(0), offset, timestamp: self.0.clock.now() };
        if let Some(reader) = self.0.readers.lock().get(&*record.topic) {
            reader(&record);
        }
        acknowledged.push(record);
        Ok(ack)
    }

    fn clock(&self) -> BrokerClock {
        self.0.clock.clone()
    }
}
