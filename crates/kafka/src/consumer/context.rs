//! What librdkafka tells between polls, kept until the poll thread looks.

use parking_lot::Mutex;
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};

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
#[derive(Debug, Default)]
pub(super) struct Context {
    told: Mutex<Told>,
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
