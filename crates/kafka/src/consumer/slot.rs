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

use super::{
    gauges::Gauges,
    stage::QueueLimits,
    stream::{Inbound, PartitionStream},
};
use crate::{
    Record,
    window::{Commit, SharedWindow, Start},
};

/// A companion's offset is committed this often although nothing changed: brokers forget the offsets of topics that a
/// group does not subscribe to.
const COMPANION_INTERVAL: Duration = Duration::from_hours(12);

/// How long after something happened to a partition more is expected.
const ACTIVE_FOR: Duration = Duration::from_millis(200);

/// One assigned partition.
pub(super) struct Slot {
    sender: mpsc::Sender<Inbound>,
    queued_bytes: Arc<AtomicUsize>,
    max_queued_bytes: usize,
    pub window: Arc<SharedWindow>,
    /// What did not fit the channel; bounded by what the client returns after a pause.
    surplus: VecDeque<Inbound>,
    pub paused: bool,
    /// The window's change that was last sent in a commit; none if that failed, or there was none yet.
    committed: Option<u64>,
    /// When the companion's offset was last sent in a commit.
    companion_sent: Instant,
    /// What was settled, what was read, and the room in the channel when that last changed, and until when more is
    /// expected.
    seen: (u64, Option<i64>, usize),
    active_until: Instant,
    gauges: Gauges,
    stopped: CancellationToken,
    aborted: CancellationToken,
    /// Cancelled when the stage has dropped its stream.
    released: CancellationToken,
    /// When to stop waiting for what is in flight; none while the partition is worked on.
    pub drain_until: Option<Instant>,
}

impl Slot {
    /// A slot and the stream at its other end.
    pub(super) fn new(
        group: &str,
        topic: Arc<str>,
        partition: i32,
        start: Start,
        queue: QueueLimits,
        now: Instant,
    ) -> (Self, PartitionStream) {
        let (sender, records) = mpsc::channel(queue.records);
        let (metadata, companion_start) = (start.metadata.clone(), start.companion);
        let stands = !start.is_ahead && companion_start.is_none();
        let start_offset = start.offset.unwrap_or(0);
        let window = SharedWindow::new(start);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let (stopped, aborted, released) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let slot = Self {
            sender,
            queued_bytes: queued_bytes.clone(),
            max_queued_bytes: queue.bytes,
            window: window.clone(),
            surplus: VecDeque::new(),
            paused: false,
            // What was committed stands, unless more is done; a companion's offset is made young again.
            committed: stands.then(|| window.changes()),
            companion_sent: now,
            seen: (0, None, 0),
            active_until: now,
            gauges: Gauges::new(group, &topic, partition),
            stopped: stopped.clone(),
            aborted: aborted.clone(),
            released: released.clone(),
            drain_until: None,
        };
        let stream = PartitionStream {
            topic,
            partition,
            start_offset,
            metadata,
            companion_start,
            records,
            queued_bytes,
            window,
            stopped,
            aborted,
            _released: released.drop_guard(),
        };
        (slot, stream)
    }

    /// Takes a record that was polled; one that is done already goes no further. Answers whether the partition has
    /// room for more.
    pub(super) fn take(&mut self, record: Record) -> bool {
        let tracked = self.window.track(record.offset);
        if let Some(token) = tracked.token {
            self.queued_bytes.fetch_add(record.size(), Ordering::Relaxed);
            self.surplus.push_back(Inbound { record, token });
            self.push_surplus();
        }
        tracked.fits && self.queue_has_room()
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

    fn queue_has_room(&self) -> bool {
        self.surplus.is_empty() && self.queued_bytes.load(Ordering::Relaxed) < self.max_queued_bytes
    }

    /// Whether so much has been worked off that a pause should end.
    pub(super) fn has_ample_room(&self) -> bool {
        self.surplus.is_empty()
            && self.sender.capacity() >= self.sender.max_capacity() / 4 * 3
            && self.queued_bytes.load(Ordering::Relaxed) < self.max_queued_bytes / 4
            && self.window.fits_amply()
    }

    /// Whether there will soon be something to do: something was just settled or taken, or has to be committed. What only
    /// waits, and may do so for hours, is no reason to look often.
    pub(super) fn is_busy(&mut self, now: Instant) -> bool {
        let seen = (self.window.changes(), self.window.next(), self.sender.capacity());
        if self.seen != seen {
            self.seen = seen;
            self.active_until = now + ACTIVE_FOR;
        }
        now < self.active_until || self.drain_until.is_some() || self.is_dirty(now)
    }

    /// Whether something was read and is neither settled nor dropped, or waits to be read.
    pub(super) fn is_in_flight(&self) -> bool {
        self.paused || self.window.outstanding() > 0
    }

    /// Whether there is something to commit.
    pub(super) fn is_dirty(&self, now: Instant) -> bool {
        let old = now >= self.companion_sent + COMPANION_INTERVAL && self.window.companion().is_some();
        old || self.committed != Some(self.window.changes())
    }

    /// What to commit, which counts as done unless the commit fails.
    pub(super) fn commit(&mut self, now: Instant) -> Commit {
        let commit = self.window.commit();
        self.committed = Some(commit.change);
        self.companion_sent = now;
        commit
    }

    /// The last commit failed: it is made again.
    pub(super) fn commit_failed(&mut self) {
        self.committed = None;
    }

    /// Brings the partition's metrics up to date.
    pub(super) fn update_gauges(&mut self, now: Instant) {
        self.gauges.update(&self.window, now);
    }

    /// No more work for this partition; what is in flight has until `deadline`.
    pub(super) fn stop(&mut self, deadline: Instant) {
        self.stopped.cancel();
        self.surplus.clear();
        self.drain_until = Some(self.drain_until.map_or(deadline, |until| until.min(deadline)));
    }

    /// Whether the drain is over: the stage has dropped its stream and nothing is in flight, or there is no more time
    /// (then what is left is abandoned).
    pub(super) fn drained(&self, now: Instant) -> bool {
        let Some(until) = self.drain_until else { return false };
        if now >= until {
            self.aborted.cancel();
        }
        now >= until || (self.released.is_cancelled() && self.window.outstanding() == 0)
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
mod tests;
