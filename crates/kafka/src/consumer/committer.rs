//! What a group member asks of the brokers and may have to wait for, one thing at a time, on a thread of its own.
//!
//! Of an asynchronous commit's end the client tells nothing: librdkafka does so only to a callback that the crate
//! does not set. A synchronous one may block for as long as the brokers are away.

use std::{
    io,
    sync::{Arc, mpsc},
    time::Duration,
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
};

use super::context::{Context, TopicPartition};

/// How long a broker may take to answer what it is woken by.
const WAKE_TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Debug)]
enum Request {
    Commit(TopicPartitionList),
    Wake(TopicPartition),
}

/// Hands requests to the thread that makes them. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Committer(mpsc::Sender<Request>);

impl Committer {
    /// Starts the thread.
    pub(super) fn start(consumer: Arc<BaseConsumer<Context>>, group: &str) -> io::Result<Self> {
        let (sender, requests) = mpsc::channel();
        std::thread::Builder::new().name(format!("commit {group}")).spawn(move || {
            for request in requests {
                match request {
                    Request::Commit(list) => {
                        let result = consumer.commit(&list, CommitMode::Sync);
                        if let Err(error) = &result {
                            tracing::debug!(%error, "a commit failed and is made again");
                        }
                        consumer.context().committed(result.is_ok());
                    }
                    // The answer is of no interest, nor is it that there is none.
                    Request::Wake((topic, partition)) => {
                        drop(consumer.fetch_watermarks(&topic, partition, WAKE_TIMEOUT));
                    }
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Commits `list`; the context is told what came of it.
    pub(super) fn commit(&self, list: TopicPartitionList) {
        self.request(Request::Commit(list));
    }

    /// Makes the client fetch from a partition that was resumed. Its connection to the leader sleeps for up to a second
    /// when nothing is fetched over it, and a resume alone does not wake it (librdkafka 2.12); any request does.
    pub(super) fn wake(&self, partition: TopicPartition) {
        self.request(Request::Wake(partition));
    }

    fn request(&self, request: Request) {
        self.0.send(request).expect("the thread lives as long as its sender");
    }
}
