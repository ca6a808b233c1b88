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
    fetch_state: String,
    committed_offset: i64,
    lo_offset: i64,
    /// The end that a reader of committed records sees.
    ls_offset: i64,
}

impl Statistics {
    /// Records between what is committed (nothing yet: the oldest) and the ends, in the partitions that are read.
    fn lag(&self) -> i64 {
        let partitions = self.topics.values().flat_map(|topic| topic.partitions.values());
        let read = partitions.filter(|partition| partition.fetch_state == "active" && partition.ls_offset >= 0);
        read.map(|partition| (partition.ls_offset - partition.committed_offset.max(partition.lo_offset).max(0)).max(0))
            .sum()
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
        Self { told: Mutex::default(), received_bytes: AtomicU64::new(0), received, lag }
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
        if let Some(gauge) = &self.lag {
            #[expect(clippy::cast_precision_loss, reason = "a gauge need not be exact past 2^53")]
            gauge.set(statistics.lag() as f64);
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
    fn the_lag_is_that_of_the_partitions_that_are_read() {
        let partition = |state: &str, committed: i64, low: i64, end: i64| {
            format!(
                r#"{{"fetch_state":"{state}","committed_offset":{committed},"lo_offset":{low},"ls_offset":{end},"hi_offset":0}}"#
            )
        };
        let statistics = format!(
            r#"{{"rx_bytes":7,"topics":{{"a":{{"partitions":{{"0":{},"1":{},"-1":{}}}}},"b":{{"partitions":{{"0":{},"1":{}}}}}}}}}"#,
            partition("active", 5, 0, 17),
            partition("active", -1001, 3, 10),
            partition("none", -1001, -1, -1001),
            partition("stopped", 1, 0, 100),
            partition("active", 1, 40, 50),
        );
        let statistics: Statistics = serde_json::from_str(&statistics).unwrap();
        assert_eq!((statistics.rx_bytes, statistics.lag()), (7, 12 + 7 + 10));
        assert_eq!(serde_json::from_str::<Statistics>(r#"{"rx_bytes":1}"#).unwrap().lag(), 0);
    }
}
