//! What came of an attempt, and what to do next.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Attempt, Timestamp, retry::RetryPolicy};

/// Why an attempt or a delivery failed: one enum for metrics, log, DLQ and API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The host name has no address, or the look-up failed.
    Dns,
    /// No connection could be made, or it was reset.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The deadline passed.
    Timeout,
    /// The target is a private address, or a URL that is not allowed.
    AddressRefused,
    /// A 3xx answer: never followed.
    Redirect,
    /// A 4xx answer other than those with a class of their own.
    HttpClientError,
    /// 410: the receiver wants no more.
    Gone,
    /// 429: slower.
    RateLimited,
    /// A 5xx answer.
    HttpServerError,
    /// An answer that is not HTTP, or whose headers or body break its rules.
    InvalidResponse,
    /// The rendered body is over the limit.
    PayloadTooLarge,
    /// The endpoint's configuration can't be used (its secret can't be opened).
    Configuration,
}

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// There was an answer.
    Answered {
        /// Its status.
        status: u16,
        /// What its `Retry-After` asks for, if it has a valid one, counted from now.
        retry_after: Option<Duration>,
    },
    /// There was none.
    Failed(ErrorClass),
}

/// What to do with a delivery after one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// It was delivered.
    Settle,
    /// Try again after this long.
    RetryAfter(Duration),
    /// Give up: to the dead-letter queue.
    DeadLetter,
}

/// A random number in 0..1 that spreads retries, drawn by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Jitter(pub f64);

/// Decides what follows attempt number `attempt`, first tried at `first_attempt_at` (this attempt's start
/// if it is the first).
pub fn next_step(outcome: &Outcome, attempt: Attempt, first_attempt_at: Timestamp, policy: &RetryPolicy, now: Timestamp, jitter: Jitter) -> NextStep {
    todo!()
}

/// Parses a `Retry-After` header (RFC 9110, 10.2.3): seconds, or an HTTP date counted from `now`.
pub fn parse_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    todo!()
}

impl Outcome {
    /// The error class; none for 2xx.
    pub fn error(&self) -> Option<ErrorClass> { todo!() }
    /// The answer's status, if there was an answer.
    pub fn status(&self) -> Option<u16> { todo!() }
}

impl ErrorClass {
    /// Its stable name, as in JSON and metrics (`http_server_error`).
    pub fn as_str(self) -> &'static str { todo!() }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
}
