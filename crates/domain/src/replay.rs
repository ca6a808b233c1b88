//! Replay jobs: redriving dead letters and rejected records, and backfilling from sources. The records of
//! `postrider.jobs` and `postrider.progress`, and the marks in `postrider.dlq`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DirectoryVersion, EndpointId, ErrorClass, JobId, MessageId, Run, SubscriptionId, TenantId, Timestamp};

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
    /// Where they are read: for a subscription each `to` is an upper bound.
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
    /// Records between here and the ends.
    pub remaining: i64,
    /// Deliveries a second, of late.
    pub rate: f64,
    /// A few of those that are wanted, as JSON objects.
    pub sample: Vec<String>,
    /// The ordinal of the next delivery.
    pub next_ordinal: i64,
    /// When this was written (broker time).
    pub at: Timestamp,
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
        format!("matched:{}:{}:{}", self.source, self.partition, self.version)
    }
}
