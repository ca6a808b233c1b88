//! One assigned partition, as the poll thread sees it.

use std::{collections::VecDeque, sync::Arc};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::stream::{Inbound, PartitionStream};
use crate::{
    Record,
    window::{CommitMetadata, MAX_SPAN_OFFSETS, SharedWindow},
};

/// One assigned partition.
pub(super) struct Slot {
    sender: mpsc::Sender<Inbound>,
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
        let (stopped, aborted) = (CancellationToken::new(), CancellationToken::new());
        let stream = PartitionStream {
            topic,
            partition,
            metadata,
            records,
            window: window.clone(),
            stopped: stopped.clone(),
            aborted: aborted.clone(),
        };
        let slot = Self {
            sender,
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
        self.surplus.is_empty() && self.window.span() < MAX_SPAN_OFFSETS
    }

    /// Whether so much has been worked off that a pause should end.
    pub(super) fn has_ample_room(&self) -> bool {
        self.surplus.is_empty()
            && self.sender.capacity() * 2 >= self.sender.max_capacity()
            && self.window.span() < MAX_SPAN_OFFSETS * 9 / 10
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
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.stopped.cancel();
        self.aborted.cancel();
        self.window.close();
    }
}
