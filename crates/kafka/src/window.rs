//! The settlement window of one partition: records are settled in any order, the contiguous prefix is
//! committed. Which offsets are in doubt is this file's business alone.

use std::{collections::VecDeque, fmt, str::FromStr, sync::Arc};

use parking_lot::Mutex;
use postrider_domain::DirectoryVersion;

/// Offsets that may lie between the oldest unsettled record and the newest taken one; past it the
/// partition waits.
pub(crate) const MAX_SPAN_OFFSETS: usize = 100_000;

/// What is stored beside a committed offset. As text `1` and `;`-separated fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitMetadata {
    /// The directory's version that the stage had reached.
    pub version: Option<DirectoryVersion>,
}

impl fmt::Display for CommitMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1")?;
        self.version.iter().try_for_each(|version| write!(f, ";v={version}"))
    }
}

/// Commit metadata of another format than this build reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("commit metadata '{0}' is not of a known format")]
pub struct InvalidMetadata(String);

impl FromStr for CommitMetadata {
    type Err = InvalidMetadata;

    fn from_str(text: &str) -> Result<Self, InvalidMetadata> {
        let invalid = || InvalidMetadata(text.chars().take(64).collect());
        let mut fields = text.split(';');
        match fields.next() {
            Some("") if text.is_empty() => return Ok(Self::default()),
            Some("1") => {}
            _ => return Err(invalid()),
        }
        let mut metadata = Self::default();
        for field in fields {
            if let Some(version) = field.strip_prefix("v=") {
                metadata.version = Some(version.parse().map_err(|_| invalid())?);
            }
        }
        Ok(metadata)
    }
}

/// Which offsets of a partition are done: those below `base`, and those marked above it.
#[derive(Debug)]
pub(crate) struct Window {
    /// Everything below is done.
    base: i64,
    /// From `base` on: whether the offset is done. An offset never seen (a gap) counts as done.
    done: VecDeque<bool>,
}

impl Window {
    /// A window before the first record.
    pub(crate) fn new() -> Self {
        Self { base: -1, done: VecDeque::new() }
    }

    /// Takes note of a record that was read; offsets between the last one and it are gaps. One below all that
    /// is in doubt begins anew: the topic was made anew, and reading went back to its beginning.
    pub(crate) fn track(&mut self, offset: i64) {
        if self.base < 0 || offset < self.base {
            self.base = offset;
            self.done.clear();
        }
        let position = usize::try_from(offset - self.base).unwrap_or(0);
        if position < self.done.len() {
            return;
        }
        self.done.resize(position, true);
        self.done.push_back(false);
    }

    /// Marks a tracked record as done.
    pub(crate) fn complete(&mut self, offset: i64) {
        if let Some(done) = usize::try_from(offset - self.base).ok().and_then(|at| self.done.get_mut(at)) {
            *done = true;
        }
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.base += 1;
        }
    }

    /// The offset to commit: the first that is not done. None before the first record.
    pub(crate) fn prefix(&self) -> Option<i64> {
        (self.base >= 0).then_some(self.base)
    }

    /// Offsets between the prefix and the newest taken record.
    pub(crate) fn span(&self) -> usize {
        self.done.len()
    }
}

/// A window shared between the poll thread and the tokens of its records. Once closed, late completions
/// of the assignment it belonged to change nothing.
#[derive(Debug)]
pub(crate) struct SharedWindow(Mutex<State>);

#[derive(Debug)]
struct State {
    window: Window,
    metadata: CommitMetadata,
    outstanding: usize,
    closed: bool,
}

impl SharedWindow {
    pub(crate) fn new(metadata: CommitMetadata) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { window: Window::new(), metadata, outstanding: 0, closed: false })))
    }

    /// Takes note of a record and gives its token.
    pub(crate) fn track(self: &Arc<Self>, offset: i64) -> SettleToken {
        let mut state = self.0.lock();
        state.window.track(offset);
        state.outstanding += 1;
        SettleToken { window: Some(self.clone()), offset }
    }

    /// The offset to commit and what goes with it.
    pub(crate) fn committable(&self) -> Option<(i64, CommitMetadata)> {
        let state = self.0.lock();
        state.window.prefix().map(|offset| (offset, state.metadata.clone()))
    }

    pub(crate) fn set_version(&self, version: DirectoryVersion) {
        self.0.lock().metadata.version = Some(version);
    }

    pub(crate) fn span(&self) -> usize {
        self.0.lock().window.span()
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

    fn release(&self, offset: i64, settled: bool) {
        let mut state = self.0.lock();
        state.outstanding -= 1;
        if settled && !state.closed {
            state.window.complete(offset);
        }
    }
}

/// The right and duty to settle one record, once its work is durable elsewhere. Dropped instead, the
/// record stays unsettled and is read again by whoever owns its partition next.
#[derive(Debug)]
pub struct SettleToken {
    window: Option<Arc<SharedWindow>>,
    offset: i64,
}

impl SettleToken {
    /// The record's work is durable elsewhere: never read it again.
    pub fn settle(mut self) {
        if let Some(window) = self.window.take() {
            window.release(self.offset, true);
        }
    }
}

impl Drop for SettleToken {
    fn drop(&mut self) {
        if let Some(window) = self.window.take() {
            window.release(self.offset, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settling_out_of_order_commits_the_contiguous_prefix() {
        let window = SharedWindow::new(CommitMetadata::default());
        assert_eq!(window.committable(), None);
        let mut tokens: Vec<_> = [10, 11, 15].map(|offset| Some(window.track(offset))).into();
        let mut settle = |i: usize| {
            tokens[i].take().unwrap().settle();
            window.committable().unwrap().0
        };
        assert_eq!(settle(1), 10);
        assert_eq!(settle(0), 15);
        assert_eq!(settle(2), 16);
        assert_eq!(window.outstanding(), 0);
    }

    #[test]
    fn a_dropped_token_holds_the_prefix_and_a_closed_window_ignores_late_settlement() {
        let window = SharedWindow::new(CommitMetadata::default());
        let (first, second) = (window.track(0), window.track(1));
        drop(first);
        second.settle();
        assert_eq!(window.committable().unwrap().0, 0);
        let late = window.track(2);
        window.close();
        late.settle();
        assert_eq!((window.committable().unwrap().0, window.outstanding()), (0, 0));
    }

    #[test]
    fn a_topic_that_begins_anew_is_settled_from_its_beginning() {
        let window = SharedWindow::new(CommitMetadata::default());
        window.track(1_000).settle();
        let (first, second) = (window.track(0), window.track(1));
        second.settle();
        assert_eq!(window.committable().unwrap().0, 0);
        first.settle();
        assert_eq!(window.committable().unwrap().0, 2);
    }

    #[test]
    fn metadata_round_trips_and_strange_formats_are_refused() {
        let version = Some(DirectoryVersion { epoch: 3, seq: 99 });
        for metadata in [CommitMetadata::default(), CommitMetadata { version }] {
            assert_eq!(metadata.to_string().parse(), Ok(metadata));
        }
        assert_eq!("".parse(), Ok(CommitMetadata::default()));
        assert!("2;x".parse::<CommitMetadata>().is_err());
        assert!("1;v=x".parse::<CommitMetadata>().is_err());
    }

    proptest! {
        /// Against a naive model: a map of offsets to done, in random order and with gaps.
        #[test]
        fn the_prefix_is_the_models(gaps in prop::collection::vec(1_i64..5, 1..60), order in prop::collection::vec(any::<prop::sample::Index>(), 0..60)) {
            let offsets: Vec<i64> = gaps.iter().scan(100, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut window = Window::new();
            let mut model: BTreeMap<i64, bool> = BTreeMap::new();
            for offset in &offsets {
                window.track(*offset);
                model.insert(*offset, false);
            }
            for pick in order {
                let offset = *pick.get(&offsets);
                window.complete(offset);
                model.insert(offset, true);
                let open = model.iter().find(|(_, done)| !**done).map(|(offset, _)| *offset);
                prop_assert_eq!(window.prefix(), Some(open.unwrap_or(offsets[offsets.len() - 1] + 1)));
            }
        }
    }
}
