//! One partition of a source, from its assignment to its revocation.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, future::BoxFuture, stream::FuturesUnordered};
use postrider_domain::DirectoryVersion;
use postrider_kafka::{Inbound, PartitionStream, ProduceError, Sink};
use tokio::{task::coop::unconstrained, time::MissedTickBehavior};

use super::{
    announce::Announcer,
    decode::Decoded,
    dedupe::Dedupe,
    record::{Matched, RecordMatcher},
};
use crate::stage::{self, StageError};

/// Records of one partition that may be matched and not acknowledged.
const MAX_RECORDS_IN_FLIGHT: usize = 256;
/// About how many bytes they and their events may take, but for the last of them.
const MAX_BYTES_IN_FLIGHT: usize = 4 << 20;
/// How often a partition to which nothing comes looks for new subscriptions.
const IDLE_ANNOUNCEMENTS: Duration = Duration::from_millis(500);

/// Matches one partition's records until it is revoked or the process stops.
pub(super) async fn match_partition<S: Sink>(
    matcher: Arc<RecordMatcher<S>>,
    mut stream: PartitionStream,
) -> Result<(), StageError> {
    let (stopped, aborted) = (stream.stopped(), stream.aborted());
    let inherited = stream.start_metadata().version;
    if let Some(version) = inherited {
        // Not to match by an older directory than whoever matched before.
        let reached = stopped.run_until_cancelled(matcher.directory().wait_for(version)).await;
        if reached.is_none() {
            return Ok(());
        }
    }
    let mut partition = Partition::new(matcher.clone(), &stream, inherited);
    let mut reached = inherited.unwrap_or_default();
    let mut idle = tokio::time::interval(IDLE_ANNOUNCEMENTS);
    idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading = true;
    while reading || !partition.in_flight.is_empty() || partition.announcer.is_busy() {
        let settled: Vec<Matched> = tokio::select! {
            biased;
            () = aborted.cancelled() => return Ok(()),
            free = partition.announcer.announced(!reading), if partition.announcer.is_busy() => free?,
            Some(done) = partition.in_flight.next() => {
                let (done, bytes) = done?;
                partition.bytes_in_flight -= bytes;
                partition.announcer.settle(done).into_iter().collect()
            }
            _ = idle.tick(), if reading && matcher.directory().can_work() => {
                partition.announcer.observe(matcher.directory().grown(), partition.next_offset);
                Vec::new()
            }
            // What waits for a schema is somebody else's now.
            () = stopped.cancelled(), if partition.decoding.is_some() => {
                partition.decoding = None;
                Vec::new()
            }
            (inbound, decoded) = decoded(&mut partition.decoding), if partition.decoding.is_some() => {
                partition.decoding = None;
                partition.begin(inbound, decoded);
                Vec::new()
            }
            inbound = stage::next(matcher.directory(), &mut stream), if reading && partition.has_room() => {
                match inbound {
                    Some(inbound) => partition.take(inbound),
                    None => reading = false,
                }
                Vec::new()
            }
        };
        for matched in settled {
            reached = reached.max(matched.version.unwrap_or_default());
            stream.set_version(reached);
            matched.settle(matcher.now());
        }
    }
    Ok(())
}

type Decoding = BoxFuture<'static, (Inbound, Decoded)>;

/// Waits for what is being decoded. Cancel-safe.
async fn decoded(decoding: &mut Option<Decoding>) -> (Inbound, Decoded) {
    decoding.as_mut().expect("it is asked for only while something is being decoded").await
}

/// What is under way in a partition.
struct Partition<S> {
    matcher: Arc<RecordMatcher<S>>,
    announcer: Announcer<S>,
    dedupe: Option<Dedupe>,
    /// A record that needs a schema. Nothing behind it is looked at before it is decoded: the directory that records
    /// are matched by never goes back, and what they lead to is written in their order.
    decoding: Option<Decoding>,
    /// Each with about the bytes that it takes.
    in_flight: FuturesUnordered<BoxFuture<'static, Result<(Matched, usize), ProduceError>>>,
    bytes_in_flight: usize,
    next_offset: i64,
}

impl<S: Sink> Partition<S> {
    fn new(matcher: Arc<RecordMatcher<S>>, stream: &PartitionStream, inherited: Option<DirectoryVersion>) -> Self {
        Self {
            announcer: Announcer::new(matcher.board(stream.topic()), stream.partition(), inherited),
            dedupe: matcher.dedupe(),
            matcher,
            decoding: None,
            in_flight: FuturesUnordered::new(),
            bytes_in_flight: 0,
            next_offset: stream.start_offset(),
        }
    }

    fn has_room(&self) -> bool {
        self.decoding.is_none()
            && self.in_flight.len() < MAX_RECORDS_IN_FLIGHT
            && self.bytes_in_flight < MAX_BYTES_IN_FLIGHT
    }

    /// Decodes a record, now or as soon as its schema is known.
    fn take(&mut self, inbound: Inbound) {
        if let Some(decoded) = self.matcher.decoder().at_once(&inbound.record) {
            return self.begin(inbound, decoded);
        }
        let matcher = self.matcher.clone();
        let waiting = async move {
            let decoded = matcher.decoder().decode(&inbound.record).await;
            // That may have taken long.
            matcher.directory().wait_until_working().await;
            (inbound, decoded)
        };
        self.decoding = Some(waiting.boxed());
    }

    /// Looks up what a record leads to, and begins to write it.
    fn begin(&mut self, inbound: Inbound, decoded: Decoded) {
        let looked = self.matcher.look(decoded);
        if let Some(seen) = looked.seen() {
            self.announcer.observe(seen.grown, inbound.record.offset);
        }
        self.next_offset = inbound.record.offset + 1;
        // What is polled first writes first: nothing but what it waits for may make it yield, or one that came later
        // would overtake it, and an ordered endpoint's deliveries would change their order.
        let bytes = inbound.record.size() + looked.bytes();
        self.bytes_in_flight += bytes;
        let finished = self.matcher.clone().finish(inbound, looked, self.dedupe.clone());
        self.in_flight.push(unconstrained(finished.map_ok(move |matched| (matched, bytes))).boxed());
    }
}

#[cfg(test)]
mod tests;
