//! What librdkafka tells between polls, kept until the poll thread looks.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use serde::Deserialize;

use crate::client_log;

/// A partition of a topic.
pub(super) type TopicPartition = (String, i32);

/// One thing that the group told this member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rebalance {
    /// These partitions are to be assigned.
    Assign(Vec<TopicPartition>),
    /// These partitions are to be given up.
    Revoke {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Whether they already belong to somebody else.
        lost: bool,
    },
}

/// The consumer's context: rebalances are queued, not acted upon, so that the poll thread decides when a
/// revoke is over.
#[derive(Debug)]
pub(super) struct Context {
    told: Mutex<Told>,
    /// What the client has received from the brokers, bytes, and its metric.
    received_bytes: AtomicU64,
    received: Counter,
    lag: Option<Gauge>,
    /// Where partitions begin and end, as the brokers said last.
    ends: Mutex<HashMap<TopicPartition, (i64, i64)>>,
    /// Where paused partitions end, of which the client hears nothing.
    paused_ends: Mutex<HashMap<TopicPartition, i64>>,
}

/// What is read of the client's statistics.
#[derive(Deserialize)]
struct Statistics {
    rx_bytes: u64,
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    #[serde(default)]
    lo_offset: i64,
    /// The end that a reader of committed records sees.
    ls_offset: i64,
}

impl Statistics {
    /// Where the partitions begin and end of which that is known.
    fn ends(&self) -> HashMap<TopicPartition, (i64, i64)> {
        let partitions = self.topics.iter().flat_map(|(topic, it)| it.partitions.values().map(move |of| (topic, of)));
        let known = partitions.filter(|(_, of)| of.partition >= 0 && of.ls_offset >= 0);
        known.map(|(topic, of)| ((topic.clone(), of.partition), (of.lo_offset, of.ls_offset))).collect()
    }
}

/// What was told since the poll thread last looked.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub rebalances: Vec<Rebalance>,
    /// Whether the commit that was in flight succeeded, if it was answered.
    pub commit: Option<bool>,
    closing: bool,
}

impl Context {
    /// Of a member of `group`, which shows its lag in `lag`.
    pub(super) fn new(group: &str, lag: Option<Gauge>) -> Self {
        let received = metrics::counter!("postrider_consumer_fetched_bytes_total", "group" => group.to_owned());
        Self {
            told: Mutex::default(),
            received_bytes: AtomicU64::new(0),
            received,
            lag,
            ends: Mutex::default(),
            paused_ends: Mutex::default(),
        }
    }

    pub(super) fn take(&self) -> Told {
        let mut told = self.told.lock();
        let closing = told.closing;
        std::mem::replace(&mut *told, Told { closing, ..Told::default() })
    }

    /// The commit that was in flight has ended.
    pub(super) fn committed(&self, succeeded: bool) {
        self.told.lock().commit = Some(succeeded);
    }

    pub(super) fn shows_lag(&self) -> bool {
        self.lag.is_some()
    }

    /// Paused partitions end there; of others nothing is known but what the client hears.
    pub(super) fn end_at(&self, ends: HashMap<TopicPartition, i64>) {
        *self.paused_ends.lock() = ends;
    }

    /// Shows how many records are between what is settled of `partitions`, by offset (none: nothing yet), and their ends.
    pub(super) fn show_lag<'a>(&self, partitions: impl Iterator<Item = (&'a str, i32, Option<i64>)>) {
        let Some(gauge) = &self.lag else { return };
        let (ends, paused_ends) = (self.ends.lock(), self.paused_ends.lock());
        let behind = partitions.map(|(topic, partition, settled)| {
            let partition = (topic.to_owned(), partition);
            let Some((low, end)) = ends.get(&partition).copied() else { return 0 };
            let end = paused_ends.get(&partition).map_or(end, |paused| end.max(*paused));
            (end - settled.unwrap_or(low).max(low)).max(0)
        });
        #[expect(clippy::cast_precision_loss, reason = "a gauge need not be exact past 2^53")]
        gauge.set(behind.sum::<i64>() as f64);
    }

    /// From here on revokes are agreed to at once: the consumer is being dropped.
    pub(super) fn close(&self) {
        self.told.lock().closing = true;
        self.lag.iter().for_each(|gauge| gauge.set(0.0));
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_log::report(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        // Statistics of another form are none: nothing depends on them.
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        if self.lag.is_some() {
            *self.ends.lock() = statistics.ends();
        }
        let rx_bytes = statistics.rx_bytes;
        let before = self.received_bytes.swap(rx_bytes, Ordering::Relaxed);
        self.received.increment(rx_bytes.saturating_sub(before));
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let mut told = self.told.lock();
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS if !told.closing => {
                told.rebalances.push(Rebalance::Assign(partitions(list)));
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if !told.closing => {
                let rebalance = Rebalance::Revoke { partitions: partitions(list), lost: consumer.assignment_lost() };
                told.rebalances.push(rebalance);
            }
            _ => {
                drop(told);
                // Nothing of ours is running any more; an error here means it was not assigned.
                let _ = consumer.incremental_unassign(list).or_else(|_| consumer.unassign());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_those_that_the_brokers_said() {
        let statistics = r#"{"rx_bytes":7,"topics":{
            "a":{"partitions":{"0":{"partition":0,"lo_offset":5,"ls_offset":17,"hi_offset":18},"-1":{"partition":-1,"ls_offset":0}}},
            "b":{"partitions":{"0":{"partition":0,"ls_offset":-1001},"2":{"partition":2,"ls_offset":0}}}}}"#;
        let statistics: Statistics = serde_json::from_str(statistics).unwrap();
        let expected = HashMap::from([(("a".to_owned(), 0), (5, 17)), (("b".to_owned(), 2), (0, 0))]);
        assert_eq!((statistics.rx_bytes, statistics.ends()), (7, expected));
        assert!(serde_json::from_str::<Statistics>(r#"{"rx_bytes":1}"#).unwrap().ends().is_empty());
    }
}
