//! What requests and answers about dead letters look like.

use std::{fmt, str::FromStr};

use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::{Timestamp, replay::run_of};
use postrider_postgres::{
    dead_letters::{DeadLetterCount, DeadLetterKey, DeadLetterRow, DeadLetterState},
    delivery_log::DeliveryRow,
};

use super::{deliveries::Status, schema::Time};

pub(super) const EXAMPLE_MESSAGE: &str = "msg_4kq2x9vq3m7k8n5p4r6s0t1w2z";
pub(super) const EXAMPLE_ENDPOINT: &str = "ep_01jd2x9vq3m7k8n5p4r6s0t1w2";
const EXAMPLE_JOB: &str = "job_01jd2x9vq3m7k8n5p4r6s0t1w2";
const EXAMPLE_TIME: Time = Time(Timestamp::from_millis(1_769_860_800_000));

/// What became of a dead letter: `open` (nobody has dealt with it), `redriven` (it was delivered anew: see
/// `redriven_as`) or `purged` (it was given up).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DeadLetterState", rename_all = "snake_case")]
pub(super) enum State {
    Open,
    Redriven,
    Purged,
}

impl From<State> for DeadLetterState {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Redriven => Self::Redriven,
            State::Purged => Self::Purged,
        }
    }
}

impl From<DeadLetterState> for State {
    fn from(state: DeadLetterState) -> Self {
        match state {
            DeadLetterState::Open => Self::Open,
            DeadLetterState::Redriven => Self::Redriven,
            DeadLetterState::Purged => Self::Purged,
        }
    }
}

/// A delivery that failed for good.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct DeadLetter {
    /// The message's id: the `webhook-id`.
    message_id: String,
    /// Which run of the message failed: `0` for the live one, `<job id>:<ordinal>` for a replay.
    run: String,
    /// The endpoint that it was for.
    endpoint_id: String,
    /// The event's identity within the deployment.
    event_id: String,
    /// The event's type.
    event_type: String,
    /// What became of it.
    state: State,
    /// How many attempts were made.
    attempts: i32,
    /// Why it failed, as in `/v1/deliveries`.
    error_class: String,
    /// Why, in words.
    error_message: Option<String>,
    /// The HTTP status of the last answer, if there was one.
    last_status: Option<i32>,
    /// The size of the body that would be sent again.
    body_bytes: i64,
    /// When the event was matched.
    matched_at: Time,
    /// When it was first tried, if it was.
    first_attempt_at: Option<Time>,
    /// When it ended.
    died_at: Time,
    /// When it was dealt with.
    settled_at: Option<Time>,
    /// The replay that delivered it anew.
    replay_id: Option<String>,
    /// The run in which it was delivered anew: see `/v1/deliveries/{message_id}`.
    redriven_as: Option<String>,
}

impl Example for DeadLetter {
    fn example() -> Self {
        Self {
            message_id: EXAMPLE_MESSAGE.to_owned(),
            run: "0".to_owned(),
            endpoint_id: EXAMPLE_ENDPOINT.to_owned(),
            event_id: "id,6:orders,-,5:evt-1".to_owned(),
            event_type: "order.created".to_owned(),
            state: State::Redriven,
            attempts: 10,
            error_class: "http_server_error".to_owned(),
            error_message: Some("the answer was 503".to_owned()),
            last_status: Some(503),
            body_bytes: 412,
            matched_at: EXAMPLE_TIME,
            first_attempt_at: Some(EXAMPLE_TIME),
            died_at: Time(Timestamp::from_millis(1_770_120_000_000)),
            settled_at: Some(Time(Timestamp::from_millis(1_770_130_000_000))),
            replay_id: Some(EXAMPLE_JOB.to_owned()),
            redriven_as: Some(format!("{EXAMPLE_JOB}:7340035")),
        }
    }
}

impl From<DeadLetterRow> for DeadLetter {
    fn from(row: DeadLetterRow) -> Self {
        let redriven_as = row.job.as_ref().map(|job| run_of(job, row.log_partition, row.log_offset).to_string());
        Self {
            message_id: row.message_id.to_string(),
            run: row.run.to_string(),
            endpoint_id: row.endpoint.to_string(),
            event_id: row.event_id.as_str().to_owned(),
            event_type: row.event_type,
            state: row.state.into(),
            attempts: row.attempts,
            error_class: row.error,
            error_message: row.error_message,
            last_status: row.last_status,
            body_bytes: row.body_bytes,
            matched_at: Time(row.matched_at),
            first_attempt_at: row.first_attempt_at.map(Time),
            died_at: Time(row.died_at),
            settled_at: row.settled_at.map(Time),
            replay_id: row.job.map(|job| job.to_string()),
            redriven_as,
        }
    }
}

/// A message's dead letters, and every run of it.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct MessageDeadLetters {
    /// The message's id.
    message_id: String,
    /// Its dead letters, the earliest first.
    dead_letters: Vec<DeadLetter>,
    /// Its runs, the earliest first: the live one, and each replay.
    chain: Vec<ChainedRun>,
}

/// One run of a message.
#[derive(Debug, Object)]
pub(super) struct ChainedRun {
    /// The run.
    run: String,
    /// How far it has come.
    status: Status,
    /// The number of its last attempt.
    attempt: i32,
    /// The HTTP status of its last answer.
    last_status: Option<i32>,
    /// Why its last attempt failed.
    last_error: Option<String>,
    /// When it began.
    matched_at: Time,
    /// When `status` came about.
    updated_at: Time,
}

impl Example for MessageDeadLetters {
    fn example() -> Self {
        let run = |run: &str, status, last_status| ChainedRun {
            run: run.to_owned(),
            status,
            attempt: 1,
            last_status: Some(last_status),
            last_error: None,
            matched_at: EXAMPLE_TIME,
            updated_at: EXAMPLE_TIME,
        };
        let letter = DeadLetter::example();
        let redriven = letter.redriven_as.clone().unwrap_or_default();
        Self {
            message_id: EXAMPLE_MESSAGE.to_owned(),
            dead_letters: vec![letter],
            chain: vec![run("0", Status::Failed, 503), run(&redriven, Status::Delivered, 200)],
        }
    }
}

impl MessageDeadLetters {
    /// None if there is no dead letter.
    pub(super) fn of(letters: Vec<DeadLetterRow>, runs: Vec<DeliveryRow>) -> Option<Self> {
        let message_id = letters.first()?.message_id.to_string();
        let chain = runs.into_iter().map(|row| ChainedRun {
            run: row.run.to_string(),
            status: row.status.into(),
            attempt: row.attempt,
            last_status: row.last_status,
            last_error: row.last_error,
            matched_at: Time(row.matched_at),
            updated_at: Time(row.updated_at),
        });
        let dead_letters = letters.into_iter().map(Into::into).collect();
        Some(Self { message_id, dead_letters, chain: chain.collect() })
    }
}

/// How many dead letters there are.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct DeadLetterCounts {
    /// How many in all.
    total: i64,
    /// By error class and state, the most first.
    data: Vec<CountOfClass>,
}

/// How many dead letters of one error class are in one state.
#[derive(Debug, Object)]
struct CountOfClass {
    /// Why they failed.
    error_class: String,
    /// What became of them.
    state: String,
    /// How many.
    count: i64,
    /// When the first of them ended.
    oldest_at: Time,
}

impl Example for DeadLetterCounts {
    fn example() -> Self {
        let class = CountOfClass {
            error_class: "timeout".to_owned(),
            state: "open".to_owned(),
            count: 412,
            oldest_at: EXAMPLE_TIME,
        };
        Self { total: 412, data: vec![class] }
    }
}

impl From<Vec<DeadLetterCount>> for DeadLetterCounts {
    fn from(counts: Vec<DeadLetterCount>) -> Self {
        let data = counts.into_iter().map(|count| CountOfClass {
            error_class: count.error,
            state: count.state,
            count: count.count,
            oldest_at: Time(count.oldest_at),
        });
        let data: Vec<_> = data.collect();
        Self { total: data.iter().map(|class| class.count).sum(), data }
    }
}

/// An entry's place in the list: its time in milliseconds, message and run.
pub(super) struct Cursor(pub DeadLetterKey);

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ' ');
        let mut part = || parts.next().filter(|part| !part.contains('\0')).ok_or(());
        let died_at = Timestamp::from_millis(part()?.parse().map_err(drop)?);
        Ok(Self(DeadLetterKey { died_at, message_id: part()?.to_owned(), run: part()?.to_owned() }))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.0.died_at.as_millis(), self.0.message_id, self.0.run)
    }
}

impl Cursor {
    /// Of an entry.
    pub(super) fn of(row: &DeadLetterRow) -> Self {
        Self(DeadLetterKey { died_at: row.died_at, message_id: row.message_id.to_string(), run: row.run.to_string() })
    }
}
