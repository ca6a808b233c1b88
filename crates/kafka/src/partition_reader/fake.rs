//! A partition in memory, for a stage's own tests.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use postrider_domain::Timestamp;

use super::{
    cursor::{Feed, PartitionCursor, StartAt},
    queue::{Generation, Queue, Wanted},
};
use crate::Record;

/// The other end of [`PartitionCursor::for_test`]: a partition that the test appends to, and what its reader did.
#[derive(Debug, Clone)]
pub struct TestCursor(Arc<Log>);

#[derive(Debug)]
struct Log {
    queue: Arc<Queue>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    /// Records below are deleted.
    low: i64,
    /// The generation that is being read, if any, and the end that it was told.
    reading: Option<(Generation, Option<i64>)>,
    /// Records that were read ahead.
    read: usize,
    seeks: Vec<i64>,
}

impl PartitionCursor {
    /// A cursor at the beginning of an empty partition in memory, which behaves as one of Kafka: what the test appends
    /// is read, the end is told, seeks and pauses do what they do.
    pub fn for_test(topic: &str, partition: i32) -> (Self, TestCursor) {
        let queue = Arc::new(Queue::new(StartAt::Offset(0)));
        let log = Arc::new(Log { queue: queue.clone(), state: Mutex::default() });
        log.feed();
        (Self::new(topic.into(), partition, queue, log.clone()), TestCursor(log))
    }
}

impl TestCursor {
    /// Appends records, at once: the end is told behind the last one.
    ///
    /// # Panics
    /// If an offset is below the end.
    pub fn append(&self, records: impl IntoIterator<Item = Record>) {
        let mut state = self.0.state.lock();
        for record in records {
            assert!(record.offset >= state.end(), "offset {} is below the end {}", record.offset, state.end());
            state.records.push(record);
        }
        drop(state);
        self.0.feed();
    }

    /// Deletes what is below `offset`, as retention does.
    pub fn delete_below(&self, offset: i64) {
        let mut state = self.0.state.lock();
        state.low = offset;
        state.records.retain(|record| record.offset >= offset);
    }

    /// Where the reader was set, in order.
    pub fn seeks(&self) -> Vec<i64> {
        self.0.state.lock().seeks.clone()
    }

    /// Whether the reader has paused.
    pub fn is_paused(&self) -> bool {
        self.0.queue.is_paused()
    }

    /// Whether the reader is gone.
    pub fn is_closed(&self) -> bool {
        self.0.queue.wanted() == Wanted::Closed
    }

    /// How many records were fetched; one that is fetched twice counts twice.
    pub fn records_read(&self) -> usize {
        self.0.state.lock().read
    }
}

impl State {
    fn end(&self) -> i64 {
        self.records.last().map_or(self.low, |record| record.offset + 1)
    }
}

impl Log {
    /// Fills the queue as a reader's thread does.
    fn feed(&self) {
        let mut state = self.state.lock();
        loop {
            let Wanted::From(generation, StartAt::Offset(next)) = self.queue.wanted() else {
                state.reading = None;
                return;
            };
            if state.reading.is_none_or(|(reading, _)| reading != generation) {
                state.reading = Some((generation, None));
            }
            let (low, end) = (state.low, state.end());
            if self.queue.keep_within(generation, low, end) {
                continue;
            }
            let at = state.records.partition_point(|record| record.offset < next);
            if let Some(record) = state.records.get(at).cloned() {
                state.read += 1;
                self.queue.push(generation, record);
                continue;
            }
            if state.reading != Some((generation, Some(end))) {
                state.reading = Some((generation, Some(end)));
                self.queue.push_end(generation);
            }
            return;
        }
    }
}

impl Feed for Log {
    fn changed(&self, _partition: i32) {
        self.feed();
    }

    fn sought(&self, offset: i64) {
        self.state.lock().seeks.push(offset);
    }

    fn watermarks(&self, _partition: i32) -> BoxFuture<'_, Result<(i64, i64), String>> {
        async move {
            let state = self.state.lock();
            Ok((state.low, state.end()))
        }
        .boxed()
    }

    fn offset_for_time(&self, _partition: i32, at: Timestamp) -> BoxFuture<'_, Result<Option<i64>, String>> {
        async move {
            let state = self.state.lock();
            Ok(state.records.iter().find(|record| record.timestamp >= at).map(|record| record.offset))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CursorEvent, Headers};

    fn record(offset: i64) -> Record {
        Record {
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp: Timestamp::from_millis(offset * 10),
            key: None,
            value: None,
            headers: Headers::new(),
        }
    }

    /// The offsets up to the next end, or where reading went on instead.
    async fn to_the_end(cursor: &mut PartitionCursor) -> (Vec<i64>, CursorEvent) {
        let mut offsets = Vec::new();
        loop {
            match cursor.next().await.expect("it is not closed") {
                CursorEvent::Record(record) => offsets.push(record.offset),
                other => return (offsets, other),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_behaves_as_a_partition() {
        let (mut cursor, partition) = PartitionCursor::for_test("t", 0);
        let (none, end) = to_the_end(&mut cursor).await;
        assert!(none.is_empty() && matches!(end, CursorEvent::EndOfPartition { next_offset: 0 }));
        partition.append((0..1_000).map(record));
        assert!(partition.records_read() < 500, "it reads ahead up to a bound");
        let (offsets, end) = to_the_end(&mut cursor).await;
        assert_eq!(offsets, (0..1_000).collect::<Vec<_>>());
        assert!(matches!(end, CursorEvent::EndOfPartition { next_offset: 1_000 }));
        cursor.seek(995);
        assert_eq!(to_the_end(&mut cursor).await.0, [995, 996, 997, 998, 999]);
        cursor.pause();
        partition.append([record(1_000)]);
        assert!(partition.is_paused() && cursor.next().now_or_never().is_none());
        cursor.resume();
        assert_eq!(to_the_end(&mut cursor).await.0, [1_000]);
        partition.delete_below(999);
        cursor.seek(3);
        assert!(matches!(to_the_end(&mut cursor).await.1, CursorEvent::OutOfRange { resumed_at: 999 }));
        assert_eq!(to_the_end(&mut cursor).await.0, [999, 1_000]);
        assert_eq!(partition.seeks(), [995, 3]);
        assert_eq!(cursor.watermarks().await, Ok((999, 1_001)));
        assert_eq!(cursor.offset_for_time(Timestamp::from_millis(9_995)).await, Ok(Some(1_000)));
        drop(cursor);
        assert!(partition.is_closed());
    }
}
