//! How a path answers.

use std::collections::HashMap;
use std::time::Duration;

/// What the receiver does with requests to a path.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers with this status (of success).
    Ok(u16),
    /// Answers the first so many requests with this status, then 200.
    FailTimes(u32, u16),
    /// Answers the first so many requests of each message id with this status, then 200.
    FailEach(u32, u16),
    /// Answers with this status (of failure).
    Always(u16),
    /// Answers so many of a hundred requests, here and there, with this status, and the others with 200.
    Flaky(u32, u16),
    /// Never answers; the connection stays open.
    Hang,
    /// Answers 200 after this time.
    Slow(Duration),
    /// Answers 302 to this location.
    Redirect(String),
    /// Resets the connection.
    Reset,
    /// Answers the first request with this status and this `Retry-After` value, then 200.
    RetryAfter(u16, String),
    /// Answers 200 with the request's body, and allows requests from every origin.
    Welcome,
    /// Answers with this status and what it was sent: method, path, query and headers, in words.
    Echo(u16),
    /// Answers 200 with a body of 64 MiB.
    HugeBody,
    /// Answers 200 with a body that comes byte by byte and does not end.
    Trickle,
}

/// What to do with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u16),
    Hang,
    StatusAfter(Duration),
    Redirect(String),
    Reset,
    RetryAfter(u16, String),
    Welcome,
    /// With what was sent, which is filled in where it is known.
    Echo(u16, String),
    HugeBody,
    Trickle,
}

/// A path's behaviour and what it has to remember.
#[derive(Debug)]
pub(super) struct Script {
    behaviour: Behaviour,
    /// Requests seen under `FailEach`, by message id.
    seen: HashMap<String, u32>,
    /// Requests seen under `Flaky`.
    count: u32,
}

impl Default for Script {
    fn default() -> Self {
        Self::new(Behaviour::Ok(200))
    }
}

impl Script {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        Self { behaviour, seen: HashMap::new(), count: 0 }
    }

    /// The answer to the next request, which carries the message id `webhook_id`.
    pub(super) fn next(&mut self, webhook_id: &str) -> Answer {
        match &mut self.behaviour {
            Behaviour::Ok(status) | Behaviour::Always(status) => Answer::Status(*status),
            Behaviour::FailTimes(0, _) => Answer::Status(200),
            Behaviour::FailTimes(left, status) => {
                *left -= 1;
                Answer::Status(*status)
            }
            Behaviour::FailEach(times, status) => {
                let seen = self.seen.entry(webhook_id.to_owned()).or_default();
                *seen += 1;
                Answer::Status(if *seen <= *times { *status } else { 200 })
            }
            Behaviour::Flaky(percent, status) => {
                self.count = self.count.wrapping_add(1);
                Answer::Status(if scattered(self.count) % 100 < *percent { *status } else { 200 })
            }
            Behaviour::Hang => Answer::Hang,
            Behaviour::Slow(delay) => Answer::StatusAfter(*delay),
            Behaviour::Redirect(location) => Answer::Redirect(location.clone()),
            Behaviour::Reset => Answer::Reset,
            Behaviour::RetryAfter(status, value) => {
                let answer = Answer::RetryAfter(*status, value.clone());
                self.behaviour = Behaviour::Ok(200);
                answer
            }
            Behaviour::Welcome => Answer::Welcome,
            Behaviour::Echo(status) => Answer::Echo(*status, String::new()),
            Behaviour::HugeBody => Answer::HugeBody,
            Behaviour::Trickle => Answer::Trickle,
        }
    }
}

impl Answer {
    /// The status that the client gets, if any.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::RetryAfter(status, _) | Self::Echo(status, _) => Some(*status),
            Self::StatusAfter(_) | Self::Welcome | Self::HugeBody | Self::Trickle => Some(200),
            Self::Redirect(_) => Some(302),
            Self::Hang | Self::Reset => None,
        }
    }
}

/// A number that looks random beside its neighbours' (`MurmurHash3`'s finalizer), and is the same in each run.
fn scattered(number: u32) -> u32 {
    let number = (number ^ (number >> 16)).wrapping_mul(0x85eb_ca6b);
    let number = (number ^ (number >> 13)).wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_times_counts_requests_and_fail_each_counts_per_message() {
        let mut times = Script::new(Behaviour::FailTimes(2, 500));
        let answers: Vec<Answer> = ["a", "b", "c"].map(|id| times.next(id)).to_vec();
        assert_eq!(answers, [Answer::Status(500), Answer::Status(500), Answer::Status(200)]);

        let mut each = Script::new(Behaviour::FailEach(1, 503));
        let answers: Vec<Answer> = ["a", "b", "a"].map(|id| each.next(id)).to_vec();
        assert_eq!(answers, [Answer::Status(503), Answer::Status(503), Answer::Status(200)]);
    }

    #[test]
    fn a_flaky_one_fails_about_as_often_as_it_was_told() {
        let mut script = Script::new(Behaviour::Flaky(20, 500));
        let failed = (0..1_000).filter(|_| script.next("a") == Answer::Status(500)).count();
        assert!((150..250).contains(&failed), "{failed} of 1,000");
    }

    #[test]
    fn retry_after_is_said_once() {
        let mut script = Script::new(Behaviour::RetryAfter(429, "7".into()));
        assert_eq!(script.next("a"), Answer::RetryAfter(429, "7".into()));
        assert_eq!(script.next("a"), Answer::Status(200));
    }
}
