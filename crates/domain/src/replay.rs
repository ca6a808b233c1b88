//! Replay jobs: redriving dead letters and rejected records, and backfilling from sources. The records of
//! `postrider.jobs` and `postrider.progress`, and the marks in `postrider.dlq`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DirectoryVersion, EndpointId, ErrorClass, JobId, MessageId, Run, SubscriptionId, TenantId, Timestamp};

mod marks;
mod ordinal;
mod query;
mod tally;

pub use marks::{MAX_MARKS, Marks, Standing, TooManyMarks};
pub use ordinal::run_of;
pub use tally::{Count, SAMPLE_RECORDS, Tally};

/// The most deliveries a second of a job.
pub const MAX_RATE_PER_SECOND: u32 = crate::limiter::MAX_PER_SECOND;

/// What somebody wants replayed, and how far they want it to go. Keyed by job id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayJob {
    /// Its id.
    pub id: JobId,
    /// Whose; none: an operator's, over all tenants.
    pub tenant: Option<TenantId>,
    /// What is read, from where to where, and which of it is wanted.
    pub source: ReplaySource,
    /// Only count, and show a sample.
    pub dry_run: bool,
    /// Deliveries a second at most.
    pub rate_per_second: u32,
    /// Whether it is to run.
    pub desired: DesiredState,
    /// Who made it.
    pub created_by: String,
    /// When it was made (broker time).
    pub created_at: Timestamp,
}

/// Whether a job is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredState {
    /// Go on.
    Running,
    /// Stop, and remember how far it came.
    Paused,
    /// Stop for good.
    Cancelled,
}

/// What is replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplaySource {
    /// Entries of the dead-letter queue.
    DeadLetters(DeadLetterQuery),
    /// Records that were rejected, matched again.
    Rejected(RejectedQuery),
    /// Events of a source, for one endpoint or subscription.
    Backfill(Backfill),
}

/// Where reading starts and ends in each partition, fixed when the job is made: it never chases what it causes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRanges(pub BTreeMap<i32, OffsetRange>);

/// From an offset to the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRange {
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

impl OffsetRange {
    /// A `to` that bounds nothing.
    pub const NO_END: i64 = i64::MAX;
}

/// Which dead letters are wanted: all that is given must hold; nothing given: all of the tenant's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterQuery {
    /// These deliveries.
    pub messages: Option<Vec<MessageId>>,
    /// Of this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Of this event type.
    pub event_type: Option<String>,
    /// That ended for this reason.
    pub error: Option<ErrorClass>,
    /// That ended at or after this.
    pub since: Option<Timestamp>,
    /// That ended before this.
    pub until: Option<Timestamp>,
    /// Where they are read.
    pub ranges: OffsetRanges,
}

/// Which rejected records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RejectedQuery {
    /// Read from this source.
    pub source: Option<String>,
    /// Rejected at or after this.
    pub since: Option<Timestamp>,
    /// Rejected before this.
    pub until: Option<Timestamp>,
    /// Where they are read.
    pub ranges: OffsetRanges,
}

/// Events that are delivered although they came before their subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backfill {
    /// The source's configured name.
    pub source: String,
    /// For this endpoint.
    pub endpoint: EndpointId,
    /// Only by this subscription, up to where the live matcher began to match it; none: by all of the endpoint's, up
    /// to where the source ended when the job was made.
    pub subscription: Option<SubscriptionId>,
    /// The version at which the subscription came to be.
    pub version: DirectoryVersion,
    /// Events at or after this.
    pub since: Timestamp,
    /// Events before this.
    pub until: Option<Timestamp>,
    /// Where they are read. For a subscription each `to` is only an upper bound ([`OffsetRange::NO_END`] if `until`
    /// gives none): the end is where the live matcher began.
    pub ranges: OffsetRanges,
}

/// How far a job has come. Keyed by job id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayProgress {
    /// The job.
    pub job: JobId,
    /// Where it stands.
    pub state: ReplayState,
    /// Why it failed, or what it waits for.
    pub message: Option<String>,
    /// The next offset to read of each partition.
    pub next: BTreeMap<i32, i64>,
    /// Records that were read.
    pub seen: i64,
    /// Records that are wanted.
    pub matched: i64,
    /// Deliveries that were made.
    pub sent: i64,
    /// Records that are wanted and can't be replayed: their bytes were not kept, or still can't be understood.
    pub unavailable: i64,
    /// Records between here and the ends.
    pub remaining: i64,
    /// Deliveries a second, of late.
    pub rate: f64,
    /// About how long the rest takes, if it goes on like this; none while that can't be told.
    pub seconds_left: Option<i64>,
    /// A few of those that are wanted, as JSON objects.
    pub sample: Vec<String>,
    /// When this was written (broker time).
    pub at: Timestamp,
}

impl ReplayState {
    /// Whether it stays so for good.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }

    /// Its stable name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl ReplaySource {
    /// Where it is read.
    pub fn ranges(&self) -> &OffsetRanges {
        match self {
            Self::DeadLetters(query) => &query.ranges,
            Self::Rejected(query) => &query.ranges,
            Self::Backfill(backfill) => &backfill.ranges,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// At work.
    Running,
    /// Waiting to be told to go on.
    Paused,
    /// Everything was read.
    Done,
    /// Stopped for good.
    Cancelled,
    /// It can't go on.
    Failed,
}

/// That a dead letter was dealt with: a record of `postrider.dlq`, keyed by endpoint id like the entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterMark {
    /// The entry's message id.
    pub message_id: MessageId,
    /// The entry's run.
    pub run: Run,
    /// The entry's endpoint.
    pub endpoint: EndpointId,
    /// What was done.
    pub mark: Mark,
    /// By which job.
    pub job: Option<JobId>,
    /// When (broker time).
    pub at: Timestamp,
}

/// What was done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It was delivered anew.
    Redriven,
    /// It was given up.
    Purged,
}

/// Where the live matcher began to match by a version of the directory: a record of `postrider.progress`, keyed
/// by source, partition and seq.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedFrom {
    /// The source's configured name.
    pub source: String,
    /// The partition of its topic.
    pub partition: i32,
    /// The version that was reached.
    pub version: DirectoryVersion,
    /// The first offset that was matched under it.
    pub offset: i64,
}

impl MatchedFrom {
    /// The record's key.
    pub fn key(&self) -> String {
        format!("{}:{}", Self::place(&self.source, self.partition), self.version)
    }

    /// What decides the partition of the records of one partition of a source, whatever their versions: they stand
    /// in one partition, in the order in which they were written.
    pub fn place(source: &str, partition: i32) -> String {
        format!("matched:{source}:{partition}")
    }
}
