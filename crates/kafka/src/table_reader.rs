//! Reads a compacted, single-partition topic from its beginning, then follows it.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{KafkaConfig, Record, client_log::LogContext};

const POLL: Duration = Duration::from_millis(100);
const QUEUE_CAPACITY: usize = 1_000;
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a [`TableReader`] finds.
#[derive(Debug)]
pub enum TableEvent {
    /// The next record, committed ones only.
    Record(Record),
    /// For now there is nothing more.
    EndOfPartition,
    /// The topic ends below what was read: it was emptied or made anew. Reading goes on from its beginning.
    Shrunk,
}

/// A reader of a compacted topic, with a thread of its own. Stops when dropped.
#[derive(Debug)]
pub struct TableReader {
    events: mpsc::Receiver<TableEvent>,
    stop: CancellationToken,
}

impl TableReader {
    /// Starts to read partition 0 of `topic`. Error: a client property is not one.
    pub fn start(kafka: &KafkaConfig, topic: &str) -> Result<Self, String> {
        let consumer: BaseConsumer<LogContext> = kafka
            .table_reader()
            .create_with_context(LogContext)
            .map_err(|error| format!("kafka.properties: {error}"))?;
        assign(&consumer, topic).map_err(|error| format!("can't read {topic}: {error}"))?;
        let (sender, events) = mpsc::channel(QUEUE_CAPACITY);
        let stop = CancellationToken::new();
        let (topic, stopped): (Arc<str>, _) = (topic.into(), stop.clone());
        let spawned = std::thread::Builder::new().name(format!("read {topic}")).spawn(move || {
            follow(&consumer, &topic, &sender, &stopped);
        });
        spawned.map_err(|error| format!("can't start a reader's thread: {error}"))?;
        Ok(Self { events, stop })
    }

    /// What comes next; none if the reader's thread ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<TableEvent> {
        self.events.recv().await
    }
}

impl Drop for TableReader {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn assign(consumer: &BaseConsumer<LogContext>, topic: &str) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&list)
}

fn follow(
    consumer: &BaseConsumer<LogContext>,
    topic: &Arc<str>,
    sender: &mpsc::Sender<TableEvent>,
    stop: &CancellationToken,
) {
    let mut next_offset = 0;
    while !stop.is_cancelled() {
        let event = match consumer.poll(POLL) {
            None => continue,
            Some(Ok(message)) => {
                next_offset = message.offset() + 1;
                TableEvent::Record(Record::detach(&message, topic.clone()))
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                if shrunk(consumer, topic, next_offset) {
                    restart(consumer, topic, &mut next_offset)
                } else {
                    TableEvent::EndOfPartition
                }
            }
            Some(Err(error)) if is_out_of_range(&error) => restart(consumer, topic, &mut next_offset),
            Some(Err(error)) => {
                tracing::warn!(%error, topic = &**topic, "Kafka reports an error; the client tries again");
                continue;
            }
        };
        if sender.blocking_send(event).is_err() {
            return;
        }
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}

fn shrunk(consumer: &BaseConsumer<LogContext>, topic: &str, next_offset: i64) -> bool {
    let end = consumer.fetch_watermarks(topic, 0, WATERMARK_TIMEOUT);
    end.is_ok_and(|(_, end)| end < next_offset)
}

fn restart(consumer: &BaseConsumer<LogContext>, topic: &str, next_offset: &mut i64) -> TableEvent {
    tracing::error!(topic, read_up_to = *next_offset, "the topic ends below what was read from it");
    *next_offset = 0;
    if let Err(error) = assign(consumer, topic) {
        tracing::error!(%error, topic, "the topic can't be read again from its beginning");
    }
    TableEvent::Shrunk
}
