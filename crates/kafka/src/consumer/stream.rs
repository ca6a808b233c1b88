//! What a stage sees of one assigned partition.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use postrider_domain::DirectoryVersion;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Record,
    window::{CommitMetadata, SettleToken, SharedWindow, Start},
};

/// A record and the duty to settle it.
#[derive(Debug)]
pub struct Inbound {
    /// The record.
    pub record: Record,
    /// To be settled once the record's work is durable elsewhere.
    pub token: SettleToken,
}

/// One assigned partition, from its assignment to its revocation. To drop it says that the stage is done with the
/// partition: until then, or until the time to drain is over, it is not given up and settlements are committed.
#[derive(Debug)]
pub struct PartitionStream {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) start_offset: i64,
    pub(super) metadata: CommitMetadata,
    pub(super) companion_start: Option<i64>,
    pub(super) records: mpsc::Receiver<Inbound>,
    /// Bytes that were read and not taken by the stage.
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) window: Arc<SharedWindow>,
    pub(super) stopped: CancellationToken,
    pub(super) aborted: CancellationToken,
    /// Tells that the stage has dropped the stream; last, so that what it had read ahead is gone as well.
    pub(super) _released: DropGuard,
}

impl PartitionStream {
    /// A stream without a consumer behind it, for a stage's own tests: what is sent comes out, and the
    /// second value stops it.
    pub fn for_test(topic: &str, partition: i32, capacity: usize) -> (Self, TestPartition) {
        Self::for_test_with_companion(topic, partition, capacity, None)
    }

    /// The same, where `companion` was committed beside the partition.
    pub fn for_test_with_companion(
        topic: &str,
        partition: i32,
        capacity: usize,
        companion: Option<i64>,
    ) -> (Self, TestPartition) {
        let (sender, records) = mpsc::channel(capacity);
        let window = SharedWindow::new(Start { companion, ..Start::default() });
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let (stopped, aborted, released) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let stream = Self {
            topic: topic.into(),
            partition,
            start_offset: 0,
            metadata: CommitMetadata::default(),
            companion_start: companion,
            records,
            queued_bytes: queued_bytes.clone(),
            window: window.clone(),
            stopped: stopped.clone(),
            aborted: aborted.clone(),
            _released: released.clone().drop_guard(),
        };
        (stream, TestPartition { sender, queued_bytes, window, stopped, aborted, released })
    }

    /// The topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Where reading begins; 0 if that is at the oldest record that is kept.
    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// What the last owner of this partition committed beside its offset.
    pub fn start_metadata(&self) -> &CommitMetadata {
        &self.metadata
    }

    /// The next record; none once the partition is revoked or the process stops. Cancel-safe.
    pub async fn next(&mut self) -> Option<Inbound> {
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => {}
            inbound = self.records.recv() => if let Some(inbound) = inbound {
                self.queued_bytes.fetch_sub(inbound.record.size(), Ordering::Relaxed);
                return Some(inbound);
            },
        }
        // What was read ahead is somebody else's now: let go of it, so that the drain does not wait for it.
        self.records.close();
        while self.records.try_recv().is_ok() {}
        None
    }

    /// Cancelled when no more work may be begun for this partition.
    pub fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }

    /// Cancelled when the time to drain is over: what is in flight is to be abandoned unsettled.
    pub fn aborted(&self) -> CancellationToken {
        self.aborted.clone()
    }

    /// The offset of the companion topic's partition that was committed beside this one, if any.
    pub fn companion_start(&self) -> Option<i64> {
        self.companion_start
    }

    /// Commits this as the offset of the companion topic's partition from here on, fenced as the partition's own: of
    /// an assignment that was lost nothing is committed any more.
    pub fn set_companion(&self, offset: i64) {
        self.window.set_companion(offset);
    }

    /// Stores the directory's version with the commits from here on.
    pub fn set_version(&self, version: DirectoryVersion) {
        self.window.set_version(version);
    }
}

/// The other end of [`PartitionStream::for_test`].
#[derive(Debug)]
pub struct TestPartition {
    sender: mpsc::Sender<Inbound>,
    queued_bytes: Arc<AtomicUsize>,
    window: Arc<SharedWindow>,
    /// Ends the stream, as a revoke does.
    pub stopped: CancellationToken,
    /// Ends the time to drain.
    pub aborted: CancellationToken,
    released: CancellationToken,
}

impl TestPartition {
    /// Hands a record to the stage.
    ///
    /// # Panics
    /// If the stream was dropped, or a record of this offset was sent and settled before.
    pub async fn send(&self, record: Record) {
        self.queued_bytes.fetch_add(record.size(), Ordering::Relaxed);
        let token = self.window.track(record.offset).token.expect("a record is sent once");
        self.sender.send(Inbound { record, token }).await.expect("the stage reads its stream");
    }

    /// The offset that would be committed now.
    pub fn committable(&self) -> Option<i64> {
        self.window.prefix()
    }

    /// The companion's offset that would be committed now.
    pub fn companion(&self) -> Option<i64> {
        self.window.companion()
    }

    /// Whether the stage has dropped its stream.
    pub fn is_released(&self) -> bool {
        self.released.is_cancelled()
    }

    /// Records handed out and neither settled nor let go of.
    pub fn outstanding(&self) -> usize {
        self.window.outstanding()
    }
}
