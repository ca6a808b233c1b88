//! What the API shows of replays.

use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::{
    Timestamp,
    replay::{DesiredState, MAX_RATE_PER_SECOND, ReplayJob, ReplayProgress, ReplaySource, ReplayState},
};
use postrider_postgres::dead_letters::RedriveResult;
use serde_json::value::RawValue;

use super::{
    problem::{Problem, ProblemKind},
    schema::{RawJson, Time},
};
use crate::replays::ReplayError;

const EXAMPLE_TIME: Time = Time(Timestamp::from_millis(1_769_860_800_000));
/// Deliveries a second of a replay if nothing is said.
const DEFAULT_RATE_PER_SECOND: u32 = 100;

pub(super) fn default_rate() -> u32 {
    DEFAULT_RATE_PER_SECOND
}

/// A replay's rate, checked.
pub(super) fn rate(value: u32) -> Result<u32, Problem> {
    if (1..=MAX_RATE_PER_SECOND).contains(&value) {
        Ok(value)
    } else {
        Err(Problem::field("/rate_per_second", format!("must be 1 to {MAX_RATE_PER_SECOND}")))
    }
}

/// What is replayed: `dead_letters`, `rejected` (records that could not be understood) or `backfill` (events that came
/// before their subscription).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "ReplayKind", rename_all = "snake_case")]
pub(super) enum Kind {
    DeadLetters,
    Rejected,
    Backfill,
}

/// Where a replay stands: `waiting` (nobody has begun), `running`, `paused`, `done`, `cancelled` or `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "ReplayState", rename_all = "snake_case")]
pub(super) enum State {
    Waiting,
    Running,
    Paused,
    Done,
    Cancelled,
    Failed,
}

/// Whether a replay is to run: `running`, `paused` or `cancelled`. It follows within about a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DesiredReplayState", rename_all = "snake_case")]
pub(super) enum Desired {
    Running,
    Paused,
    Cancelled,
}

/// A replay: what it replays, and how far it has come.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Replay {
    /// Its id: `job_` and 26 letters and digits. The runs of what it delivers begin with it.
    pub id: String,
    /// What is replayed.
    pub kind: Kind,
    /// Whether it only counts and shows a sample.
    pub dry_run: bool,
    /// Deliveries a second at most.
    pub rate_per_second: u32,
    /// Whether it is to run.
    pub desired: Desired,
    /// Where it stands.
    pub state: State,
    /// Who asked for it: the id of an API key, or the command line.
    pub created_by: String,
    /// When it was made.
    pub created_at: Time,
    /// How far it has come; null if nobody has begun.
    pub progress: Option<Progress>,
}

/// How far a replay has come.
#[derive(Debug, Object)]
#[oai(rename = "ReplayProgress")]
pub(super) struct Progress {
    /// Why it failed, or what it waits for.
    message: Option<String>,
    /// Records that were read.
    seen: i64,
    /// Those of them that are wanted: in a dry run, how many would be delivered.
    matched: i64,
    /// Deliveries that were made.
    sent: i64,
    /// Records that are wanted and can't be delivered: their bytes were not kept, or still can't be understood.
    unavailable: i64,
    /// Records that are still to be read.
    remaining: i64,
    /// Deliveries a second, of late.
    rate: f64,
    /// About how long the rest takes; null while that can't be told.
    seconds_left: Option<i64>,
    /// A few of those that are wanted.
    sample: Vec<RawJson>,
    /// When this was told.
    at: Time,
}

impl Example for Replay {
    fn example() -> Self {
        let sample = r#"{"message_id": "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z", "error": "timeout", "attempts": 10}"#;
        Self {
            id: "job_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            kind: Kind::DeadLetters,
            dry_run: false,
            rate_per_second: DEFAULT_RATE_PER_SECOND,
            desired: Desired::Running,
            state: State::Running,
            created_by: "key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            created_at: EXAMPLE_TIME,
            progress: Some(Progress {
                message: None,
                seen: 1_200,
                matched: 800,
                sent: 640,
                unavailable: 0,
                remaining: 300,
                rate: 98.7,
                seconds_left: Some(5),
                sample: vec![RawJson(RawValue::from_string(sample.to_owned()).expect("it is JSON"))],
                at: EXAMPLE_TIME,
            }),
        }
    }
}

impl Replay {
    /// A job with what was told of it last.
    pub(super) fn of(job: ReplayJob, progress: Option<ReplayProgress>) -> Self {
        let state = progress.as_ref().map_or(State::Waiting, |progress| match progress.state {
            ReplayState::Running => State::Running,
            ReplayState::Paused => State::Paused,
            ReplayState::Done => State::Done,
            ReplayState::Cancelled => State::Cancelled,
            ReplayState::Failed => State::Failed,
        });
        Self {
            id: job.id.to_string(),
            kind: match job.source {
                ReplaySource::DeadLetters(_) => Kind::DeadLetters,
                ReplaySource::Rejected(_) => Kind::Rejected,
                ReplaySource::Backfill(_) => Kind::Backfill,
            },
            dry_run: job.dry_run,
            rate_per_second: job.rate_per_second,
            desired: match job.desired {
                DesiredState::Running => Desired::Running,
                DesiredState::Paused => Desired::Paused,
                DesiredState::Cancelled => Desired::Cancelled,
            },
            state,
            created_by: job.created_by,
            created_at: Time(job.created_at),
            progress: progress.map(Into::into),
        }
    }
}

impl From<ReplayProgress> for Progress {
    fn from(progress: ReplayProgress) -> Self {
        // What is no JSON, because another version wrote it, is left out.
        let sample = progress.sample.into_iter().filter_map(|text| RawValue::from_string(text).ok().map(RawJson));
        Self {
            message: progress.message,
            seen: progress.seen,
            matched: progress.matched,
            sent: progress.sent,
            unavailable: progress.unavailable,
            remaining: progress.remaining,
            rate: progress.rate,
            seconds_left: progress.seconds_left,
            sample: sample.collect(),
            at: Time(progress.at),
        }
    }
}

/// What came of redrives, by why the deliveries had failed before.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct RedriveResults {
    /// From when on dead letters were redriven.
    since: Time,
    /// Until when.
    until: Time,
    /// Each error class, the most frequent first.
    data: Vec<RedrivesOfClass>,
}

/// What came of redriving what had failed for one reason.
#[derive(Debug, Object)]
struct RedrivesOfClass {
    /// Why they had failed before.
    error_class: String,
    /// How many were delivered anew.
    redriven: i64,
    /// How many of those were answered with 2xx.
    delivered: i64,
    /// How many of those are dead letters again.
    failed: i64,
    /// How many of those are under way, or were ended otherwise.
    other: i64,
    /// The part of those with a verdict that was delivered, 0 to 1; null if there is none yet.
    success_rate: Option<f64>,
}

impl Example for RedriveResults {
    fn example() -> Self {
        let result = RedriveResult { error: "timeout".to_owned(), redriven: 100, delivered: 95, failed: 4 };
        Self::of(EXAMPLE_TIME.0, Timestamp::from_millis(1_769_947_200_000), vec![result])
    }
}

impl RedriveResults {
    pub(super) fn of(since: Timestamp, until: Timestamp, results: Vec<RedriveResult>) -> Self {
        Self { since: Time(since), until: Time(until), data: results.into_iter().map(Into::into).collect() }
    }
}

impl From<RedriveResult> for RedrivesOfClass {
    fn from(result: RedriveResult) -> Self {
        let RedriveResult { error, redriven, delivered, failed } = result;
        let verdicts = delivered + failed;
        #[expect(clippy::cast_precision_loss, reason = "a rate of counts")]
        let success_rate = (verdicts > 0).then(|| delivered as f64 / verdicts as f64);
        Self { error_class: error, redriven, delivered, failed, other: redriven - verdicts, success_rate }
    }
}

/// What a replay that was not made or directed is to the caller.
pub(super) fn not_replayed(error: ReplayError) -> Problem {
    match error {
        ReplayError::Refused { field, message } => {
            let field = if field == "rate" { "rate_per_second" } else { field };
            Problem::field(format!("/{field}"), message)
        }
        ReplayError::NotFound(id) => Problem::not_found("replay", id.as_str()),
        ReplayError::Ended { .. } => Problem::new(ProblemKind::Conflict, error.to_string()),
        ReplayError::Kafka(why) => {
            tracing::warn!(why, "Kafka is not available to the API");
            Problem::new(ProblemKind::Unavailable, "Kafka can't be reached for now; try again")
        }
    }
}
