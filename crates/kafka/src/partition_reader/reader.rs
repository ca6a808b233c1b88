//! The reader of a topic: one client and one thread, whatever the number of partitions.

use std::{
    fmt,
    sync::{Arc, mpsc},
};

use futures::{FutureExt as _, future::BoxFuture};
use postrider_domain::Timestamp;
use rdkafka::{ClientConfig, consumer::BaseConsumer};
use tokio_util::sync::CancellationToken;

use super::{
    cursor::{Feed, PartitionCursor, StartAt},
    lookup::Lookup,
    queue::Queue,
    thread::{Command, ReaderThread},
};
use crate::{FetchSize, KafkaConfig, client_log::LogContext, config::Isolation};

/// Reads partitions of one topic from positions of one's own choice: no group, no commits. Its thread ends with the last handle and cursor.
#[derive(Debug, Clone)]
pub struct PartitionReader(Arc<Handle>);

struct Handle {
    commands: mpsc::Sender<Command>,
    lookup: Lookup,
    /// Ends what is looked up in vain.
    stop: CancellationToken,
}

impl PartitionReader {
    /// Starts the client; to be called within a runtime. Error: a client property is not one, or the thread could not
    /// be started.
    pub fn start(kafka: &KafkaConfig, topic: &str, fetch: FetchSize) -> Result<Self, String> {
        Self::with(&kafka.partition_reader(fetch, Isolation::Uncommitted), topic)
    }

    /// The same for a topic that may have transactions: reads what is committed, up to the first that is still open,
    /// and takes that for the end.
    pub fn start_committed(kafka: &KafkaConfig, topic: &str, fetch: FetchSize) -> Result<Self, String> {
        Self::with(&kafka.partition_reader(fetch, Isolation::Committed), topic)
    }

    fn with(config: &ClientConfig, topic: &str) -> Result<Self, String> {
        let consumer: BaseConsumer<LogContext> =
            config.create_with_context(LogContext).map_err(|error| format!("kafka.properties: {error}"))?;
        let lookup = Lookup { consumer: Arc::new(consumer), topic: topic.into() };
        let (commands, receiver) = mpsc::channel();
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Handle::current();
        let thread = ReaderThread::new(lookup.clone(), receiver, runtime, stop.clone());
        std::thread::Builder::new()
            .name(format!("read {topic}"))
            .spawn(move || thread.run())
            .map_err(|error| format!("can't start a reader's thread: {error}"))?;
        Ok(Self(Arc::new(Handle { commands, lookup, stop })))
    }

    /// Whether there is such a partition: of one that is not there no question has an answer. Error: no answer.
    pub async fn exists(&self, partition: i32) -> Result<bool, String> {
        self.0.lookup.exists(partition).await
    }

    /// Begins to read a partition. If it is being read already, the earlier cursor ends.
    pub fn open(&self, partition: i32, from: StartAt) -> PartitionCursor {
        let queue = Arc::new(Queue::new(from));
        self.0.tell(Command::Open(partition, queue.clone()));
        PartitionCursor::new(self.0.lookup.topic.clone(), partition, queue, self.0.clone())
    }
}

impl Handle {
    fn tell(&self, command: Command) {
        // The thread lives as long as its handles. If it panicked, that was printed.
        let _ = self.commands.send(command);
    }
}

impl Feed for Handle {
    fn changed(&self, partition: i32) {
        self.tell(Command::Changed(partition));
    }

    fn watermarks(&self, partition: i32) -> BoxFuture<'_, Result<(i64, i64), String>> {
        self.lookup.watermarks(partition).boxed()
    }

    fn offset_for_time(&self, partition: i32, at: Timestamp) -> BoxFuture<'_, Result<Option<i64>, String>> {
        self.lookup.offset_for_time(partition, at).boxed()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("topic", &self.lookup.topic).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
