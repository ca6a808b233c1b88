//! A window shared between the poll thread and the tokens of its records.

use std::sync::Arc;

use parking_lot::Mutex;
use postrider_domain::{DirectoryVersion, Runs};

use super::{
    metadata::{CommitMetadata, MAX_RUNS_BYTES},
    offsets::{Epoch, Offsets},
};

/// Offsets that may lie between the oldest unsettled record and the newest that was read; past it the partition waits.
const MAX_SPAN_OFFSETS: u64 = 1_000_000;
/// The most that one run takes within that span: a gap and a length of three bytes each.
const MAX_RUN_BYTES: usize = 6;

/// Where an assignment starts, as the last owner left it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    /// The committed offset; none if there is none.
    pub offset: Option<i64>,
    /// What is done above it.
    pub done: Runs,
    /// What the stage stored beside it.
    pub metadata: CommitMetadata,
    /// The offset of the companion topic's partition.
    pub companion: Option<i64>,
    /// Whether more is done than was committed.
    pub is_ahead: bool,
}

/// What is done of a partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settled {
    prefix: Option<i64>,
    done: Runs,
}

impl Start {
    /// Where it starts when this process itself had the partition before, and knows what it could not commit any more.
    pub(crate) fn knowing(mut self, known: &Settled) -> Self {
        // Without a committed offset this may be another topic of the same name.
        let (Some(from), Some(prefix)) = (self.offset, known.prefix) else { return self };
        let before = self.done.clone();
        for run in std::iter::once(from..prefix).chain(known.done.iter()) {
            if run.end > from.max(run.start) {
                self.done.insert(run.start.max(from)..run.end);
            }
        }
        self.is_ahead = self.done != before;
        self
    }
}

/// One commit of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The partition's own offset and the text beside it; none before anything is known.
    pub own: Option<(i64, String)>,
    /// The companion's offset.
    pub companion: Option<i64>,
    /// Which state of the window this is.
    pub change: u64,
}

/// What became of a record that was read.
#[derive(Debug)]
pub(crate) struct Tracked {
    /// Its token; none if it is done already.
    pub token: Option<SettleToken>,
    /// Whether another one may be read.
    pub fits: bool,
}

/// A window with the tokens that are out. Once closed, late completions of the assignment that it belonged to change
/// nothing.
#[derive(Debug)]
pub(crate) struct SharedWindow(Mutex<State>);

#[derive(Debug)]
struct State {
    offsets: Offsets,
    metadata: CommitMetadata,
    companion: Option<i64>,
    outstanding: usize,
    closed: bool,
    /// Counts what would change a commit.
    changes: u64,
    /// The number of runs when they were last encoded, and the bytes that they took.
    measured: (usize, usize),
}

impl SharedWindow {
    pub(crate) fn new(start: Start) -> Arc<Self> {
        let Start { offset, done, metadata, companion, is_ahead: _ } = start;
        let offsets = Offsets::starting(offset, done);
        let measured = (offsets.done().len_runs(), encoded(&offsets, usize::MAX).len());
        let (outstanding, closed, changes) = (0, false, 0);
        Arc::new(Self(Mutex::new(State { offsets, metadata, companion, outstanding, closed, changes, measured })))
    }

    /// Takes note of a record.
    pub(crate) fn track(self: &Arc<Self>, offset: i64) -> Tracked {
        let mut state = self.0.lock();
        let before = state.offsets.prefix();
        let epoch = state.offsets.track(offset);
        state.changes += u64::from(before != state.offsets.prefix());
        state.outstanding += usize::from(epoch.is_some());
        let token = epoch.map(|epoch| SettleToken { window: Some(self.clone()), offset, epoch });
        Tracked { token, fits: state.fits(MAX_SPAN_OFFSETS, MAX_RUNS_BYTES) }
    }

    /// Whether so much has been settled that reading should go on.
    pub(crate) fn fits_amply(&self) -> bool {
        self.0.lock().fits(MAX_SPAN_OFFSETS / 10 * 9, MAX_RUNS_BYTES / 10 * 9)
    }

    /// Counts what would change a commit: equal to the last commit's [`change`](Commit::change) if nothing did.
    pub(crate) fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// What to commit now.
    pub(crate) fn commit(&self) -> Commit {
        let mut state = self.0.lock();
        let own = state.offsets.prefix().map(|prefix| {
            let mut bytes = encoded(&state.offsets, usize::MAX);
            state.measured = (state.offsets.done().len_runs(), bytes.len());
            if bytes.len() > MAX_RUNS_BYTES {
                bytes = encoded(&state.offsets, MAX_RUNS_BYTES);
            }
            (prefix, state.metadata.to_text(&bytes))
        });
        Commit { own, companion: state.companion, change: state.changes }
    }

    pub(crate) fn set_version(&self, version: DirectoryVersion) {
        let mut state = self.0.lock();
        if state.metadata.version != Some(version) {
            state.metadata.version = Some(version);
            state.changes += 1;
        }
    }

    pub(crate) fn set_companion(&self, offset: i64) {
        let mut state = self.0.lock();
        if state.companion != Some(offset) {
            state.companion = Some(offset);
            state.changes += 1;
        }
    }

    pub(crate) fn companion(&self) -> Option<i64> {
        self.0.lock().companion
    }

    /// What is done by now.
    pub(crate) fn settled(&self) -> Settled {
        let state = self.0.lock();
        Settled { prefix: state.offsets.prefix(), done: state.offsets.done().clone() }
    }

    /// The offset to commit. None before anything is known.
    pub(crate) fn prefix(&self) -> Option<i64> {
        self.0.lock().offsets.prefix()
    }

    /// The offset that is read next. None before anything is known.
    pub(crate) fn next(&self) -> Option<i64> {
        self.0.lock().offsets.next()
    }

    pub(crate) fn span(&self) -> u64 {
        self.0.lock().offsets.span()
    }

    /// Tokens that are neither settled nor dropped.
    pub(crate) fn outstanding(&self) -> usize {
        self.0.lock().outstanding
    }

    /// Whether the assignment that the window belonged to has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Ends the assignment that the window belonged to.
    pub(crate) fn close(&self) {
        self.0.lock().closed = true;
    }

    fn release(&self, offset: i64, epoch: Epoch, settled: bool) {
        let mut state = self.0.lock();
        state.outstanding -= 1;
        if settled && !state.closed && state.offsets.complete(offset, epoch) {
            state.changes += 1;
        }
    }
}

impl State {
    /// Whether what is done above the prefix fits the commit's metadata, as far as can be told without encoding it for
    /// each record: one bit per offset is enough, or what the runs took when last encoded and the most that new ones
    /// can take.
    fn fits(&self, max_span: u64, max_runs_bytes: usize) -> bool {
        let span = self.offsets.span();
        let (runs, bytes) = self.measured;
        let more = self.offsets.done().len_runs().saturating_sub(runs);
        span < max_span && (span / 8 + 2 < max_runs_bytes as u64 || bytes + more * MAX_RUN_BYTES < max_runs_bytes)
    }
}

fn encoded(offsets: &Offsets, max_bytes: usize) -> Vec<u8> {
    offsets.prefix().map(|prefix| offsets.done().encode(prefix, max_bytes)).unwrap_or_default()
}

/// The right and duty to settle one record, once its work is durable elsewhere. Dropped instead, the
/// record stays unsettled and is read again by whoever owns its partition next.
#[derive(Debug)]
pub struct SettleToken {
    window: Option<Arc<SharedWindow>>,
    offset: i64,
    epoch: Epoch,
}

impl SettleToken {
    /// The record's work is durable elsewhere: never read it again.
    pub fn settle(mut self) {
        if let Some(window) = self.window.take() {
            window.release(self.offset, self.epoch, true);
        }
    }
}

impl Drop for SettleToken {
    fn drop(&mut self) {
        if let Some(window) = self.window.take() {
            window.release(self.offset, self.epoch, false);
        }
    }
}

#[cfg(test)]
mod tests;
