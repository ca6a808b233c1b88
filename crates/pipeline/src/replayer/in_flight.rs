//! Records of a job that are being written, in the order in which they were read.

use std::sync::Arc;

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    stream::FuturesOrdered,
};
use postrider_domain::replay::Count;
use postrider_kafka::{ProduceError, Sink};

use super::{finding::Wanted, logs::Logs, shared::Shared};

/// Records that may be written and not acknowledged.
const MAX_RECORDS: usize = 256;
/// Their bodies, at most; one more is let through.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The offset of a record that was dealt with, as were all before it, and what it counts as.
pub(super) type Passed = (i64, Count);

/// Records that are being written. They come out in order, so that a position never moves past one that is not
/// acknowledged.
#[derive(Default)]
pub(super) struct InFlight {
    records: FuturesOrdered<BoxFuture<'static, Result<(Passed, usize), ProduceError>>>,
    bytes: usize,
}

impl InFlight {
    pub(super) fn has_room(&self) -> bool {
        self.records.len() < MAX_RECORDS && self.bytes < MAX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Begins to write what a record leads to.
    pub(super) fn begin<S: Sink, L: Logs>(&mut self, offset: i64, wanted: Wanted, shared: Arc<Shared<S, L>>) {
        let bytes = wanted.bytes();
        self.bytes += bytes;
        let written = wanted.hand_over(shared).map(move |count| Ok(((offset, count?), bytes)));
        self.records.push_back(written.boxed());
    }

    /// Takes a record for which nothing is written, and whose turn comes behind those that are.
    pub(super) fn follow(&mut self, offset: i64, count: Count) {
        self.records.push_back(ready(Ok(((offset, count), 0))).boxed());
    }

    /// The next that is dealt with; none if there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Result<Passed, ProduceError>> {
        let (passed, bytes) = match self.records.next().await? {
            Ok(done) => done,
            Err(error) => return Some(Err(error)),
        };
        self.bytes -= bytes;
        Some(Ok(passed))
    }
}
