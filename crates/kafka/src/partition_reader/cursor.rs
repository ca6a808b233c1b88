//! One partition that is being read.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use postrider_domain::Timestamp;

use super::queue::{Next, Queue};
use crate::Record;

/// Where a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record that is kept.
    Beginning,
    /// At this offset.
    Offset(i64),
    /// Behind the newest record.
    End,
}

/// What a cursor finds.
#[derive(Debug, Clone)]
pub enum CursorEvent {
    /// The next record.
    Record(Record),
    /// For now there is nothing more. Told each time that the end is reached, and again after a pause or a seek.
    EndOfPartition {
        /// The offset that the next record will have at least.
        next_offset: i64,
    },
    /// The position was not within the partition. Reading goes on with the oldest record that is kept.
    OutOfRange {
        /// Its offset.
        resumed_at: i64,
    },
}

/// Whoever fills a cursor's queue.
pub(super) trait Feed: fmt::Debug + Send + Sync {
    /// The queue has room again, or its reader wants something else.
    fn changed(&self, partition: i32);

    /// The queue's reader was set elsewhere; [`changed`](Self::changed) follows.
    fn sought(&self, _offset: i64) {}

    /// See [`PartitionCursor::watermarks`].
    fn watermarks(&self, partition: i32) -> BoxFuture<'_, Result<(i64, i64), String>>;

    /// See [`PartitionCursor::offset_for_time`].
    fn offset_for_time(&self, partition: i32, at: Timestamp) -> BoxFuture<'_, Result<Option<i64>, String>>;
}

/// A partition that is being read. Reads ahead up to a bound, unless it is paused; ends when dropped.
#[derive(Debug)]
pub struct PartitionCursor {
    topic: Arc<str>,
    partition: i32,
    queue: Arc<Queue>,
    feed: Arc<dyn Feed>,
}

impl PartitionCursor {
    pub(super) fn new(topic: Arc<str>, partition: i32, queue: Arc<Queue>, feed: Arc<dyn Feed>) -> Self {
        Self { topic, partition, queue, feed }
    }

    /// The topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// What comes next; none if the partition was opened a second time, which ends the first cursor. Cancel-safe.
    pub async fn next(&mut self) -> Option<CursorEvent> {
        loop {
            match self.queue.take() {
                Next::Event { event, has_room_again } => {
                    if has_room_again {
                        self.feed.changed(self.partition);
                    }
                    return Some(event);
                }
                Next::Closed => return None,
                Next::Nothing => self.queue.filled().await,
            }
        }
    }

    /// Goes on at `offset`, forwards or backwards. What was read ahead is forgotten: the next record has at least
    /// this offset.
    pub fn seek(&self, offset: i64) {
        self.queue.seek(offset);
        self.feed.sought(offset);
        self.feed.changed(self.partition);
    }

    /// Reads no further ahead. What was read already can still be taken.
    pub fn pause(&self) {
        self.queue.set_paused(true);
        self.feed.changed(self.partition);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.queue.set_paused(false);
        self.feed.changed(self.partition);
    }

    /// The offset of the oldest record that is kept, and the one that the next record will have. Error: no answer.
    pub async fn watermarks(&self) -> Result<(i64, i64), String> {
        self.feed.watermarks(self.partition).await
    }

    /// The first offset whose record is not older than `at`; none if all are. Error: no answer (the in-process broker
    /// never has one).
    pub async fn offset_for_time(&self, at: Timestamp) -> Result<Option<i64>, String> {
        self.feed.offset_for_time(self.partition, at).await
    }
}

impl Drop for PartitionCursor {
    fn drop(&mut self) {
        self.queue.close();
        self.feed.changed(self.partition);
    }
}
