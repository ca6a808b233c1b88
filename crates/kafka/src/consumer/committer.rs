//! Commits of a group member, one at a time, on a thread of their own.
//!
//! Of an asynchronous commit's end the client tells nothing: librdkafka does so only to a callback that the crate
//! does not set. A synchronous one may block for as long as the brokers are away.

use std::{
    io,
    sync::{Arc, mpsc},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
};

use super::context::Context;

/// Hands commits to the thread that makes them. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Committer(mpsc::Sender<TopicPartitionList>);

impl Committer {
    /// Starts the thread.
    pub(super) fn start(consumer: Arc<BaseConsumer<Context>>, group: &str) -> io::Result<Self> {
        let (sender, lists) = mpsc::channel::<TopicPartitionList>();
        std::thread::Builder::new().name(format!("commit {group}")).spawn(move || {
            for list in lists {
                let result = consumer.commit(&list, CommitMode::Sync);
                if let Err(error) = &result {
                    tracing::debug!(%error, "a commit failed and is made again");
                }
                consumer.context().committed(result.is_ok());
            }
        })?;
        Ok(Self(sender))
    }

    /// Commits `list`; the context is told what came of it.
    pub(super) fn commit(&self, list: TopicPartitionList) {
        self.0.send(list).expect("the thread lives as long as its sender");
    }
}
