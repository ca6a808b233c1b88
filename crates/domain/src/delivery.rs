//! A delivery: one event for one endpoint, rendered when matched and forwarded byte for byte.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    DirectoryVersion, EndpointId, EventId, JobId, MessageId, Priority, SourceCoordinates, SubscriptionId, TenantId,
    Timestamp,
};

/// The immutable part of a delivery: the value of its record in every topic that it passes through.
/// What changes or routes is in [`Routing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The `webhook-id`: equal over retries, crashes, duplicate matching and replay.
    pub message_id: MessageId,
    /// Which run of the message this is: live, or a replay's.
    pub run: Run,
    /// A live delivery or a test send.
    pub kind: DeliveryKind,
    /// The event that it carries.
    pub event_id: EventId,
    /// The tenant that owns event and endpoint.
    pub tenant: TenantId,
    /// Whom it is for; the record's key.
    pub endpoint: EndpointId,
    /// The subscription that decided.
    pub subscription: SubscriptionId,
    /// The event's type.
    pub event_type: String,
    /// What an ordered endpoint orders by.
    pub ordering_key: Option<String>,
    /// Where the event was read.
    pub source: SourceCoordinates,
    /// The media type of `body`.
    pub content_type: String,
    /// Headers that were rendered with the body, sent with every attempt.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// The bytes to send, rendered once.
    pub body: Bytes,
    /// The request's method.
    #[serde(default)]
    pub method: Method,
    /// What is appended to the path of the endpoint's URL: percent-escaped parts with slashes between them; empty for
    /// nothing.
    #[serde(default)]
    pub path_suffix: String,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Unless a mapping says otherwise.
    #[default]
    Post,
    /// Replaces what is there.
    Put,
    /// Changes what is there.
    Patch,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::Post, Self::Put, Self::Patch];

    /// As HTTP has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

/// A header of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Whether a delivery counts: a test send is tried once and leaves no trace in health, retries or the DLQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// A real event.
    Live,
    /// A test send.
    Test,
}

/// Which run of a message: work is identified by (message id, run); receivers see only the message id.
/// As text `0`, or `<job id>:<ordinal>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Run(Option<ReplayRun>);

/// The run of a replay job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplayRun {
    /// The job.
    pub job: JobId,
    /// Which of the job's deliveries.
    pub ordinal: i64,
}

impl Run {
    /// The run of a delivery that was matched as its event came.
    pub const LIVE: Self = Self(None);

    /// The run of a replayed delivery.
    pub fn replay(job: JobId, ordinal: i64) -> Self {
        Self(Some(ReplayRun { job, ordinal }))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("0"),
            Some(run) => write!(f, "{}:{}", run.job, run.ordinal),
        }
    }
}

/// A text that is not a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a run: expected '0' or '<job id>:<ordinal>'")]
pub struct InvalidRun(String);

impl FromStr for Run {
    type Err = InvalidRun;

    fn from_str(text: &str) -> Result<Self, InvalidRun> {
        if text == "0" {
            return Ok(Self::LIVE);
        }
        let parse = || {
            let (job, ordinal) = text.split_once(':')?;
            Some(Self::replay(job.parse().ok()?, ordinal.parse().ok()?))
        };
        parse().ok_or_else(|| InvalidRun(text.to_owned()))
    }
}

/// The number of an attempt, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// From a number; none if it is zero.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, from 1.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The attempt after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What changes or routes: the record's headers, so that a forwarder need not decode the value.
#[derive(Debug, Clone, PartialEq)]
pub struct Routing {
    /// The attempt that is to be made next.
    pub attempt: Attempt,
    /// When the first attempt was made; none before it.
    pub first_attempt_at: Option<Timestamp>,
    /// Not to be sent before this (broker time); none: at once.
    pub not_before: Option<NotBefore>,
    /// When the event was matched (broker time).
    pub matched_at: Timestamp,
    /// The directory's version that it was matched under; none for test sends.
    pub version: Option<DirectoryVersion>,
    /// How often it was sent ahead of its time on demand: what is left of an older generation is superseded.
    pub generation: u32,
    /// Who goes first when there is not room for all.
    pub priority: Priority,
    /// W3C trace context, if the producer sent one.
    pub traceparent: Option<String>,
}

/// A due time, and the whole delay that it ends (which says how early is early enough).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBefore {
    /// When it is due, in broker time.
    pub at: Timestamp,
    /// The delay as it was decided, from the decision to `at`.
    pub whole_delay: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_round_trip_as_text() {
        let replayed = Run::replay(JobId::from_trusted("job_01hzzzzzzzzzzzzzzzzzzzzzzz"), 7);
        assert_eq!(replayed.to_string(), "job_01hzzzzzzzzzzzzzzzzzzzzzzz:7");
        for run in [Run::LIVE, replayed] {
            assert_eq!(run.to_string().parse(), Ok(run));
        }
        for bad in ["", "1", "job_01hzzzzzzzzzzzzzzzzzzzzzzz", "job_1:2", "job_01hzzzzzzzzzzzzzzzzzzzzzzz:x"] {
            assert_eq!(bad.parse::<Run>(), Err(InvalidRun(bad.to_owned())));
        }
    }

    #[test]
    fn methods_are_named_as_in_http() {
        for method in Method::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
    }

    #[test]
    fn attempts_count_from_one() {
        assert_eq!(Attempt::new(0), None);
        assert_eq!(Attempt::FIRST.next(), Attempt::new(2).unwrap());
        let last = Attempt::new(u32::MAX).unwrap();
        assert_eq!(last.next(), last);
    }
}
