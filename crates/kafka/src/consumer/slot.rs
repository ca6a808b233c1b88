//! One assigned partition, as the poll thread sees it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::stream::{Inbound, PartitionStream};
use crate::{
    Record,
    window::{CommitMetadata, MAX_SPAN_OFFSETS, SharedWindow},
};

/// Bytes of one partition that may be read and not taken by the stage; past it the partition waits.
const MAX_QUEUED_BYTES: usize = 8 * 1024 * 1024;

/// One assigned partition.
pub(super) struct Slot {
    sender: mpsc::Sender<Inbound>,
    queued_bytes: Arc<AtomicUsize>,
    pub window: Arc<SharedWindow>,
    /// What did not fit the channel; bounded by what the client returns after a pause.
    surplus: VecDeque<Inbound>,
    pub paused: bool,
    /// The offset last sent in a commit; none if that failed or there was none.
    pub committed: Option<i64>,
    stopped: CancellationToken,
    aborted: CancellationToken,
    /// When to stop waiting for what is in flight; none while the partition is worked on.
    pub drain_until: Option<Instant>,
}

impl Slot {
    /// A slot and the stream at its other end.
    pub(super) fn new(
        topic: Arc<str>,
        partition: i32,
        metadata: CommitMetadata,
        queue_capacity: usize,
    ) -> (Self, PartitionStream) {
        let (sender, records) = mpsc::channel(queue_capacity);
        let window = SharedWindow::new(metadata.clone());
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let (stopped, aborted) = (CancellationToken::new(), CancellationToken::new());
        let stream = PartitionStream {
            topic,
            partition,
            metadata,
            records,
            queued_bytes: queued_bytes.clone(),
            window: window.clone(),
            stopped: stopped.clone(),
            aborted: aborted.clone(),
        };
        let slot = Self {
            sender,
            queued_bytes,
            window,
            surplus: VecDeque::new(),
            paused: false,
            committed: None,
            stopped,
            aborted,
            drain_until: None,
        };
        (slot, stream)
    }

    /// Takes a record that was polled. Answers whether the partition has room for more.
    pub(super) fn take(&mut self, record: Record) -> bool {
        let token = self.window.track(record.offset);
        self.queued_bytes.fetch_add(record.size(), Ordering::Relaxed);
        self.surplus.push_back(Inbound { record, token });
        self.push_surplus();
        self.has_room()
    }

    /// Hands over what did not fit before.
    pub(super) fn push_surplus(&mut self) {
        while let Some(inbound) = self.surplus.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(inbound)) = self.sender.try_send(inbound) {
                self.surplus.push_front(inbound);
                return;
            }
        }
    }

    /// Whether another record may be read.
    pub(super) fn has_room(&self) -> bool {
        self.surplus.is_empty()
            && self.window.span() < MAX_SPAN_OFFSETS
            && self.queued_bytes.load(Ordering::Relaxed) < MAX_QUEUED_BYTES
    }

    /// Whether so much has been worked off that a pause should end.
    pub(super) fn has_ample_room(&self) -> bool {
        self.surplus.is_empty()
            && self.sender.capacity() * 2 >= self.sender.max_capacity()
            && self.window.span() < MAX_SPAN_OFFSETS * 9 / 10
            && self.queued_bytes.load(Ordering::Relaxed) < MAX_QUEUED_BYTES / 2
    }

    /// The offset to commit, if it is not the one committed last.
    pub(super) fn dirty(&self) -> Option<(i64, CommitMetadata)> {
        self.window.committable().filter(|(offset, _)| self.committed != Some(*offset))
    }

    /// No more work for this partition; what is in flight has until `deadline`.
    pub(super) fn stop(&mut self, deadline: Instant) {
        self.stopped.cancel();
        self.surplus.clear();
        self.drain_until = Some(self.drain_until.map_or(deadline, |until| until.min(deadline)));
    }

    /// Whether the drain is over: nothing in flight, or no more time (then what is left is abandoned).
    pub(super) fn drained(&self, now: Instant) -> bool {
        let Some(until) = self.drain_until else { return false };
        if now >= until {
            self.aborted.cancel();
        }
        now >= until || self.window.outstanding() == 0
    }

    /// Whether the last commit has had `patience` after the drain, or has nobody to go to.
    pub(super) fn given_up(&self, now: Instant, patience: Duration) -> bool {
        self.window.is_closed() || self.drain_until.is_some_and(|until| now >= until + patience)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.stopped.cancel();
        self.aborted.cancel();
        self.window.close();
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::Timestamp;

    use super::*;
    use crate::Headers;

    fn record(offset: i64, bytes: usize) -> Record {
        Record {
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp: Timestamp::EPOCH,
            key: None,
            value: Some(vec![0; bytes].into()),
            headers: Headers::new(),
        }
    }

    #[tokio::test]
    async fn a_partition_waits_when_its_queue_is_full_by_count_or_by_bytes() {
        for (capacity, bytes, fit) in [(3, 1, 3), (1_000, MAX_QUEUED_BYTES / 4, 3)] {
            let (mut slot, mut stream) = Slot::new("t".into(), 0, CommitMetadata::default(), capacity);
            let taken = (0..100).take_while(|offset| slot.take(record(*offset, bytes))).count();
            assert_eq!(taken, fit);
            for _ in 0..=fit {
                stream.next().await.expect("it was taken").token.settle();
                slot.push_surplus();
            }
            assert!(slot.has_ample_room());
            assert_eq!(slot.dirty().map(|(offset, _)| offset), i64::try_from(fit + 1).ok());
        }
    }

    #[tokio::test]
    async fn a_drain_ends_when_nothing_is_in_flight_or_time_is_over() {
        let now = Instant::now();
        let (mut slot, mut stream) = Slot::new("t".into(), 0, CommitMetadata::default(), 9);
        assert!(!slot.drained(now));
        slot.take(record(0, 1));
        slot.take(record(1, 1));
        let in_flight = stream.next().await;
        let aborted = stream.aborted();
        slot.stop(now + Duration::from_secs(3));
        assert!(stream.next().await.is_none());
        assert!(!slot.drained(now));
        assert!(slot.drained(now + Duration::from_secs(3)) && aborted.is_cancelled());
        drop(in_flight);
        assert!(slot.drained(now));
    }
}
