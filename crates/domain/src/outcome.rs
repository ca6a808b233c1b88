//! What came of an attempt, and what to do next.

use std::{
    fmt,
    ops::RangeInclusive,
    str::FromStr,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{Attempt, Timestamp, retry::RetryPolicy};

/// Why an attempt or a delivery failed: one enum for metrics, log, DLQ and API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// The subscription's mapping can't be filled from the event: nothing was sent.
    MappingFailed,
    /// The endpoint's configuration can't be used (its secret can't be opened).
    Configuration,
    /// It was held for as long as anything is kept, and never had its turn.
    HeldExpired,
    /// A test send's endpoint did not become known in time.
    EndpointUnknown,
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

/// A random number in 0..=1 that spreads retries, drawn by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Jitter(pub f64);

/// The shortest and longest wait that a `Retry-After` can ask for.
const RETRY_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// How far jitter moves a delay, to either side.
const JITTER: f64 = 0.1;

/// Decides what follows attempt number `attempt`, first tried at `first_attempt_at` (this attempt's start
/// if it is the first).
///
/// - A 2xx settles. A body that is too large is given up at once (it will not shrink), and so is a 410.
/// - Anything else follows the policy, until it has no further delay, or the next attempt would begin later than
///   its greatest age after the first.
/// - The policy's delay is moved by up to 10 % to either side. What a 429 or 503 asks for in `Retry-After`
///   replaces it, longer or shorter, without jitter, held between 1 s and 24 h; it spends an attempt like any other.
pub fn next_step(
    outcome: &Outcome,
    attempt: Attempt,
    first_attempt_at: Timestamp,
    policy: &RetryPolicy,
    now: Timestamp,
    jitter: Jitter,
) -> NextStep {
    let Some(error) = outcome.error() else { return NextStep::Settle };
    if matches!(error, ErrorClass::PayloadTooLarge | ErrorClass::Gone) {
        return NextStep::DeadLetter;
    }
    let Some(scheduled) = policy.delay_after(attempt) else { return NextStep::DeadLetter };
    let delay = outcome.requested_delay().unwrap_or_else(|| jitter.spread(scheduled));
    match policy.max_age() {
        Some(max_age) if now + delay > first_attempt_at + max_age => NextStep::DeadLetter,
        _ => NextStep::RetryAfter(delay),
    }
}

/// Parses a `Retry-After` header (RFC 9110, 10.2.3): seconds, or an HTTP date counted from `now`; zero if
/// that is past.
pub fn parse_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(header).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((Timestamp::EPOCH + date).since(now))
}

impl Jitter {
    fn spread(self, delay: Duration) -> Duration {
        delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * self.0.clamp(0.0, 1.0))
    }
}

impl Outcome {
    /// The error class; none for 2xx. A status that no final answer can have breaks HTTP's rules.
    pub fn error(&self) -> Option<ErrorClass> {
        match self {
            Self::Failed(error) => Some(*error),
            Self::Answered { status, .. } => match status {
                200..=299 => None,
                300..=399 => Some(ErrorClass::Redirect),
                410 => Some(ErrorClass::Gone),
                429 => Some(ErrorClass::RateLimited),
                400..=499 => Some(ErrorClass::HttpClientError),
                500..=599 => Some(ErrorClass::HttpServerError),
                _ => Some(ErrorClass::InvalidResponse),
            },
        }
    }

    /// The answer's status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Failed(_) => None,
        }
    }

    /// What a 429 or 503 asks for, within limits.
    fn requested_delay(&self) -> Option<Duration> {
        match self {
            Self::Answered { status: 429 | 503, retry_after } => {
                retry_after.map(|delay| delay.clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end()))
            }
            _ => None,
        }
    }
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [Self; 16] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::AddressRefused,
        Self::Redirect,
        Self::HttpClientError,
        Self::Gone,
        Self::RateLimited,
        Self::HttpServerError,
        Self::InvalidResponse,
        Self::PayloadTooLarge,
        Self::MappingFailed,
        Self::Configuration,
        Self::HeldExpired,
        Self::EndpointUnknown,
    ];

    /// Its stable name, as in JSON and metrics (`http_server_error`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::AddressRefused => "address_refused",
            Self::Redirect => "redirect",
            Self::HttpClientError => "http_client_error",
            Self::Gone => "gone",
            Self::RateLimited => "rate_limited",
            Self::HttpServerError => "http_server_error",
            Self::InvalidResponse => "invalid_response",
            Self::PayloadTooLarge => "payload_too_large",
            Self::MappingFailed => "mapping_failed",
            Self::Configuration => "configuration",
            Self::HeldExpired => "held_expired",
            Self::EndpointUnknown => "endpoint_unknown",
        }
    }
}

/// A text that names no error class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is not an error class; they are: {}", ErrorClass::ALL.map(ErrorClass::as_str).join(", "))]
pub struct InvalidErrorClass {
    name: String,
}

impl FromStr for ErrorClass {
    type Err = InvalidErrorClass;

    fn from_str(text: &str) -> Result<Self, InvalidErrorClass> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| InvalidErrorClass { name: text.to_owned() })
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::retry::{MAX_AGE_SECONDS, MAX_DELAYS, Schedule, tests::any_schedule};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const MIDDLE: Jitter = Jitter(0.5);

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    fn asked(status: u16, seconds: u64) -> Outcome {
        Outcome::Answered { status, retry_after: Some(Duration::from_secs(seconds)) }
    }

    fn after(outcome: &Outcome, attempt: u32) -> NextStep {
        let attempt = Attempt::new(attempt).unwrap();
        next_step(outcome, attempt, NOW, &RetryPolicy::default(), NOW, MIDDLE)
    }

    fn seconds(seconds: u64) -> NextStep {
        NextStep::RetryAfter(Duration::from_secs(seconds))
    }

    #[test]
    fn every_status_has_its_class() {
        let table = [
            (100, Some(ErrorClass::InvalidResponse)),
            (200, None),
            (204, None),
            (299, None),
            (302, Some(ErrorClass::Redirect)),
            (400, Some(ErrorClass::HttpClientError)),
            (410, Some(ErrorClass::Gone)),
            (429, Some(ErrorClass::RateLimited)),
            (499, Some(ErrorClass::HttpClientError)),
            (500, Some(ErrorClass::HttpServerError)),
            (503, Some(ErrorClass::HttpServerError)),
            (999, Some(ErrorClass::InvalidResponse)),
        ];
        for (status, class) in table {
            assert_eq!(answered(status).error(), class, "{status}");
        }
    }

    #[test]
    fn failures_follow_the_policy_until_it_is_exhausted() {
        let retried = [answered(302), answered(404), answered(500), Outcome::Failed(ErrorClass::Timeout)];
        for outcome in retried.into_iter().chain([Outcome::Failed(ErrorClass::AddressRefused)]) {
            assert_eq!(after(&outcome, 1), seconds(5), "{outcome:?}");
            assert_eq!(after(&outcome, 9), seconds(86_400), "{outcome:?}");
            assert_eq!(after(&outcome, 10), NextStep::DeadLetter, "{outcome:?}");
        }
    }

    #[test]
    fn success_settles_and_what_can_not_get_better_is_given_up() {
        assert_eq!(after(&answered(201), 10), NextStep::Settle);
        assert_eq!(after(&answered(410), 1), NextStep::DeadLetter);
        assert_eq!(after(&Outcome::Failed(ErrorClass::PayloadTooLarge), 1), NextStep::DeadLetter);
    }

    #[test]
    fn retry_after_is_obeyed_within_limits_and_only_on_429_and_503() {
        assert_eq!(after(&asked(429, 90), 1), seconds(90));
        assert_eq!(after(&asked(503, 2), 2), seconds(2));
        assert_eq!(after(&asked(503, 0), 1), seconds(1));
        assert_eq!(after(&asked(429, u64::MAX), 1), seconds(86_400));
        assert_eq!(after(&asked(500, 90), 1), seconds(5));
        assert_eq!(after(&asked(429, 90), 10), NextStep::DeadLetter);
    }

    #[test]
    fn no_attempt_begins_after_the_greatest_age() {
        let policy = RetryPolicy::new(Schedule::Delays(vec![60, 60]), Some(100)).unwrap();
        let step = |now| next_step(&answered(500), Attempt::FIRST, NOW, &policy, now, MIDDLE);
        assert_eq!(step(NOW + Duration::from_secs(40)), seconds(60));
        assert_eq!(step(NOW + Duration::from_millis(40_001)), NextStep::DeadLetter);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        // NOW is 2023-11-14T22:13:20Z.
        let table = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Tue, 14 Nov 2023 22:14:20 GMT", Some(60)),
            ("Tuesday, 14-Nov-23 22:14:20 GMT", Some(60)),
            ("Tue, 14 Nov 2023 22:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (header, wanted) in table {
            assert_eq!(parse_retry_after(header, NOW), wanted.map(Duration::from_secs), "{header}");
        }
    }

    #[test]
    fn names_are_those_of_the_json() {
        for class in ErrorClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
    }

    proptest! {
        /// Whatever the policy, the answers and the jitter: the attempts end, none begins after the greatest age, and
        /// every wait is one that somebody asked for.
        #[test]
        fn attempts_end_and_none_begins_after_the_greatest_age(
            schedule in any_schedule(),
            max_age in proptest::option::of(1..=MAX_AGE_SECONDS),
            answers in proptest::collection::vec((0.0..=1.0f64, proptest::option::of(any::<u64>())), MAX_DELAYS + 1),
        ) {
            let policy = RetryPolicy::new(schedule, max_age).unwrap();
            let (mut attempt, mut now) = (Attempt::FIRST, NOW);
            for (jitter, asked_for) in answers {
                let retry_after = asked_for.map(Duration::from_secs);
                let outcome = Outcome::Answered { status: 503, retry_after };
                let NextStep::RetryAfter(delay) = next_step(&outcome, attempt, NOW, &policy, now, Jitter(jitter)) else {
                    let over_age = policy.max_age().is_some_and(|age| now + Duration::from_hours(8 * 24) > NOW + age);
                    prop_assert!(policy.delay_after(attempt).is_none() || over_age);
                    return Ok(());
                };
                match retry_after {
                    Some(asked) => prop_assert_eq!(delay, asked.clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end())),
                    None => prop_assert!(delay <= policy.delay_after(attempt).unwrap().mul_f64(1.0 + JITTER)),
                }
                now = now + delay;
                prop_assert!(policy.max_age().is_none_or(|age| now <= NOW + age));
                attempt = attempt.next();
            }
            prop_assert!(false, "there were more than {MAX_DELAYS} retries");
        }

        /// Age counts from the first attempt: however late that comes, what follows is the same.
        #[test]
        fn a_first_attempt_is_never_too_late(waited_days in 0..3_650u64, schedule in any_schedule()) {
            let policy = RetryPolicy::new(schedule, Some(1)).unwrap();
            let late = NOW + Duration::from_hours(24 * waited_days);
            let step = |now| next_step(&asked(503, 1), Attempt::FIRST, now, &policy, now, MIDDLE);
            prop_assert_eq!(step(late), step(NOW));
            prop_assert_eq!(step(late) == seconds(1), policy.delay_after(Attempt::FIRST).is_some());
        }

        #[test]
        fn jitter_moves_a_delay_by_a_tenth_at_most(jitter in 0.0..=1.0f64, attempt in 1..=9u32) {
            let policy = RetryPolicy::default();
            let attempt = Attempt::new(attempt).unwrap();
            let plain = policy.delay_after(attempt).unwrap();
            let step = next_step(&answered(500), attempt, NOW, &policy, NOW, Jitter(jitter));
            let NextStep::RetryAfter(delay) = step else { panic!("{step:?}") };
            prop_assert!(delay >= plain.mul_f64(0.899) && delay <= plain.mul_f64(1.101));
        }
    }
}
