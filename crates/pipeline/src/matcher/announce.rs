//! Tells replays from which offset on new subscriptions are matched live, so that a backfill ends exactly there.
//!
//! What a partition's records are matched by is looked up in the order of offsets. Whenever that look-up sees a
//! directory with more subscriptions than the one before it, `MatchedFrom {version, offset}` is written to
//! `postrider.progress`, and nothing at or behind that offset is settled before it is acknowledged: whoever reads
//! those records again announces again, at the same offset or below. A partition to which nothing comes announces the
//! offset that it will read next.
//!
//! What is announced goes out once a second at most. Up to [`MAX_QUEUED`] changes within that second are told apart
//! exactly; past that the last ones are told as one, at the later offset: a backfill of them may then repeat what
//! the live matcher delivered within that second, under the same message ids.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture, future::try_join_all};
use postrider_domain::{DirectoryVersion, replay::MatchedFrom};
use postrider_kafka::{Headers, Layout, Outgoing, ProduceError, Sink, Topics};
use tokio::time::Instant;

use super::record::Matched;

/// Changes that wait to be announced, per partition.
const MAX_QUEUED: usize = 8;
/// Between two announcements of one partition.
const INTERVAL: Duration = Duration::from_secs(1);

/// The directory that a record was matched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its version.
    pub version: DirectoryVersion,
    /// The newest version up to there at which a subscription came or changed.
    pub grown: DirectoryVersion,
}

/// Where announcements are written.
#[derive(Debug, Clone)]
pub(super) struct Board<S> {
    sink: S,
    layout: Layout,
    progress: Arc<str>,
    source: Arc<str>,
}

impl<S: Sink> Board<S> {
    pub(super) fn new(sink: S, layout: Layout, topics: &Topics, source: &str) -> Self {
        Self { sink, layout, progress: topics.progress().into(), source: source.into() }
    }

    async fn write(self, announcements: Vec<MatchedFrom>) -> Result<(), ProduceError> {
        try_join_all(announcements.iter().map(|announcement| self.sink.send(self.record(announcement)))).await.map(drop)
    }

    fn record(&self, announcement: &MatchedFrom) -> Outgoing {
        let place = MatchedFrom::place(&announcement.source, announcement.partition);
        Outgoing {
            topic: self.progress.clone(),
            partition: Some(self.layout.partition(&self.progress, &place)),
            key: Bytes::from(announcement.key()),
            value: Some(self.layout.codec().encode(announcement)),
            headers: Headers::new(),
        }
    }
}

/// Announces for one partition, and keeps back what may not be settled yet.
pub(super) struct Announcer<S> {
    board: Board<S>,
    partition: i32,
    /// The newest that was announced or is about to be.
    known: Option<DirectoryVersion>,
    queue: VecDeque<MatchedFrom>,
    /// What is being written, and its first offset.
    writing: Option<(BoxFuture<'static, Result<(), ProduceError>>, i64)>,
    next_write: Instant,
    /// Matched records that stand behind what is not announced yet. As many as a partition matches in a second.
    kept_back: Vec<Matched>,
}

impl<S: Sink> Announcer<S> {
    /// For a partition whose last owner matched by `known`, and announced all of it.
    pub(super) fn new(board: Board<S>, partition: i32, known: Option<DirectoryVersion>) -> Self {
        let (queue, kept_back) = (VecDeque::new(), Vec::new());
        Self { board, partition, known, queue, writing: None, next_write: Instant::now(), kept_back }
    }

    /// Takes note that `offset`, and all behind it, is matched by a directory that last grew at `grown`.
    pub(super) fn observe(&mut self, grown: DirectoryVersion, offset: i64) {
        if self.known.is_some_and(|known| known >= grown) {
            return;
        }
        self.known = Some(grown);
        if self.queue.len() >= MAX_QUEUED {
            self.queue.pop_back();
        }
        let source = self.board.source.to_string();
        self.queue.push_back(MatchedFrom { source, partition: self.partition, version: grown, offset });
    }

    /// The records that can be settled now that `finished` is done: itself, unless it stands behind what is not
    /// announced yet.
    pub(super) fn settle(&mut self, finished: Matched) -> Option<Matched> {
        let free = self.unannounced_from().is_none_or(|from| finished.offset < from);
        if free {
            return Some(finished);
        }
        self.kept_back.push(finished);
        None
    }

    /// The first offset behind which nothing may be settled.
    fn unannounced_from(&self) -> Option<i64> {
        self.writing.as_ref().map(|(_, from)| *from).or_else(|| self.queue.front().map(|first| first.offset))
    }

    /// Whether something is to be written, or being written.
    pub(super) fn is_busy(&self) -> bool {
        self.writing.is_some() || !self.queue.is_empty()
    }

    /// Writes what is to be announced, when its time has come (at once, if `hurry`). Answers what can be settled once
    /// that is acknowledged. Cancel-safe.
    pub(super) async fn announced(&mut self, hurry: bool) -> Result<Vec<Matched>, ProduceError> {
        if self.writing.is_none() {
            if !hurry {
                tokio::time::sleep_until(self.next_write).await;
            }
            let batch: Vec<_> = self.queue.drain(..).collect();
            let from = batch.first().map_or(i64::MAX, |first| first.offset);
            self.next_write = Instant::now() + INTERVAL;
            self.writing = Some((self.board.clone().write(batch).boxed(), from));
        }
        let (write, _) = self.writing.as_mut().expect("it was just set");
        write.await?;
        self.writing = None;
        let from = self.unannounced_from().unwrap_or(i64::MAX);
        let (free, kept_back) = std::mem::take(&mut self.kept_back).into_iter().partition(|it| it.offset < from);
        self.kept_back = kept_back;
        Ok(free)
    }
}
