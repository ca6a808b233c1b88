//! A delivery's routing, as headers: a forwarder need not decode the value.

use std::{fmt::Display, str::FromStr, time::Duration};

use bytes::Bytes;
use postrider_domain::{Attempt, Priority, Routing, Timestamp, delivery::NotBefore};

use crate::Headers;

const ATTEMPT: &str = "pr-attempt";
const FIRST_ATTEMPT_AT: &str = "pr-first-attempt-at";
const NOT_BEFORE: &str = "pr-not-before";
const DELAY: &str = "pr-delay";
const MATCHED_AT: &str = "pr-matched-at";
const VERSION: &str = "pr-version";
const GENERATION: &str = "pr-generation";
const PRIORITY: &str = "pr-priority";
const TRACEPARENT: &str = "traceparent";

/// A routing header that is missing or can't be read: the record is corrupt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// A required header is not there.
    #[error("header '{0}' is missing")]
    Missing(&'static str),
    /// A header's value is not of its form.
    #[error("header '{0}' can't be read: '{1}'")]
    Malformed(&'static str, String),
}

/// Writes `routing` as headers.
pub fn routing_to_headers(routing: &Routing) -> Headers {
    let mut headers = Headers::new();
    push(&mut headers, ATTEMPT, routing.attempt);
    push(&mut headers, MATCHED_AT, routing.matched_at.as_millis());
    if let Some(at) = routing.first_attempt_at {
        push(&mut headers, FIRST_ATTEMPT_AT, at.as_millis());
    }
    if let Some(due) = routing.not_before {
        push(&mut headers, NOT_BEFORE, due.at.as_millis());
        push(&mut headers, DELAY, due.whole_delay.as_millis());
    }
    if let Some(version) = routing.version {
        push(&mut headers, VERSION, version);
    }
    if routing.generation > 0 {
        push(&mut headers, GENERATION, routing.generation);
    }
    if routing.priority != Priority::default() {
        push(&mut headers, PRIORITY, routing.priority);
    }
    if let Some(trace) = &routing.traceparent {
        push(&mut headers, TRACEPARENT, trace);
    }
    headers
}

fn push(headers: &mut Headers, name: &'static str, value: impl Display) {
    headers.push(name, Bytes::from(value.to_string()));
}

/// Reads the headers that [`routing_to_headers`] writes.
pub fn routing_from_headers(headers: &Headers) -> Result<Routing, InvalidHeader> {
    let attempt = required::<u32>(headers, ATTEMPT)?;
    let attempt = Attempt::new(attempt).ok_or_else(|| InvalidHeader::Malformed(ATTEMPT, attempt.to_string()))?;
    let not_before = match parse::<i64>(headers, NOT_BEFORE)? {
        None => None,
        Some(at) => Some(NotBefore {
            at: Timestamp::from_millis(at),
            whole_delay: Duration::from_millis(required(headers, DELAY)?),
        }),
    };
    Ok(Routing {
        attempt,
        first_attempt_at: parse(headers, FIRST_ATTEMPT_AT)?.map(Timestamp::from_millis),
        not_before,
        matched_at: Timestamp::from_millis(required(headers, MATCHED_AT)?),
        version: parse(headers, VERSION)?,
        generation: parse(headers, GENERATION)?.unwrap_or(0),
        priority: parse(headers, PRIORITY)?.unwrap_or_default(),
        traceparent: headers.get_str(TRACEPARENT).map(str::to_owned),
    })
}

fn required<T: FromStr>(headers: &Headers, name: &'static str) -> Result<T, InvalidHeader> {
    parse(headers, name)?.ok_or(InvalidHeader::Missing(name))
}

fn parse<T: FromStr>(headers: &Headers, name: &'static str) -> Result<Option<T>, InvalidHeader> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = String::from_utf8_lossy(value);
    text.parse().map(Some).map_err(|_| InvalidHeader::Malformed(name, text.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use postrider_domain::DirectoryVersion;

    use super::*;

    fn full() -> Routing {
        Routing {
            attempt: Attempt::FIRST.next(),
            first_attempt_at: Some(Timestamp::from_millis(5)),
            not_before: Some(NotBefore { at: Timestamp::from_millis(900), whole_delay: Duration::from_millis(700) }),
            matched_at: Timestamp::from_millis(1),
            version: Some(DirectoryVersion { epoch: 2, seq: 17 }),
            generation: 3,
            priority: Priority::High,
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bare = Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: Timestamp::from_millis(1),
            version: None,
            generation: 0,
            priority: Priority::Normal,
            traceparent: None,
        };
        for routing in [full(), bare] {
            assert_eq!(routing_from_headers(&routing_to_headers(&routing)), Ok(routing));
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        assert_eq!(routing_from_headers(&Headers::new()), Err(InvalidHeader::Missing(ATTEMPT)));
        for (name, value) in
            [(ATTEMPT, "0"), (ATTEMPT, "x"), (VERSION, "1"), (NOT_BEFORE, "soon"), (PRIORITY, "urgent")]
        {
            let mut headers = routing_to_headers(&full());
            headers.push(name, value);
            assert_eq!(routing_from_headers(&headers), Err(InvalidHeader::Malformed(name, value.to_owned())));
        }
    }
}
