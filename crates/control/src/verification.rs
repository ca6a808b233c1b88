//! Whether an endpoint wants events: what it is asked, and whether the reply says so.
//!
//! `cloudevents`: the `OPTIONS` request of the HTTP 1.1 Web Hooks for Event Delivery (CloudEvents), section 4. It allows our
//! origin, or any, and may say how many requests a minute it takes. `challenge`: it is posted a random text, signed like a
//! delivery, and has to answer with it.

use bytes::Bytes;
use postrider_domain::RateLimit;
use postrider_postgres::endpoints::Verification;
use rand::CryptoRng;
use serde_json::{Value, json};

use crate::api::Reply;

/// The random bytes of a challenge.
const CHALLENGE_BYTES: usize = 24;
/// What a challenge's body says that it is.
const CHALLENGE_TYPE: &str = "postrider.endpoint.challenge";

/// What an endpoint is asked, and must reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Whether it allows requests from this origin.
    Origin(String),
    /// To answer with this text.
    Challenge(String),
}

impl Asked {
    /// What an endpoint that is verified by `method` is asked by the deployment that is known as `origin`.
    pub fn new(method: Verification, origin: &str, rng: &mut impl CryptoRng) -> Self {
        match method {
            Verification::Cloudevents => Self::Origin(origin.to_owned()),
            Verification::Challenge => {
                let mut random = [0_u8; CHALLENGE_BYTES];
                rng.fill_bytes(&mut random);
                Self::Challenge(hex::encode(random))
            }
        }
    }

    /// What is posted; none: an `OPTIONS` request is sent.
    pub fn json(&self) -> Option<Bytes> {
        match self {
            Self::Origin(_) => None,
            Self::Challenge(challenge) => {
                Some(json!({ "type": CHALLENGE_TYPE, "challenge": challenge }).to_string().into())
            }
        }
    }

    /// The headers of the question, beside those of every request to the endpoint.
    pub fn headers(&self) -> Vec<(String, String)> {
        match self {
            Self::Origin(origin) => vec![("webhook-request-origin".to_owned(), origin.clone())],
            Self::Challenge(_) => Vec::new(),
        }
    }

    /// Whether the reply says that it wants events, and how many if it says that. The error is in words.
    pub fn judge(&self, reply: &Reply) -> Result<Option<RateLimit>, String> {
        if !(200..300).contains(&reply.status) {
            return Err(format!("it answered with status {}, where 2xx was needed", reply.status));
        }
        match self {
            Self::Origin(origin) => allowed(origin, reply),
            Self::Challenge(challenge) if answers(challenge, &reply.body) => Ok(None),
            Self::Challenge(_) => {
                Err("its answer's body is not the challenge: answer with the text of 'challenge', alone \
                                       or as {\"challenge\": \"…\"}"
                    .to_owned())
            }
        }
    }
}

fn allowed(origin: &str, reply: &Reply) -> Result<Option<RateLimit>, String> {
    let header = |name: &str| {
        let mut all = reply.headers.iter();
        all.find(|(it, _)| it == name).map(|(_, value)| value.trim())
    };
    let Some(allowed) = header("webhook-allowed-origin") else {
        return Err(format!("its answer has no header 'WebHook-Allowed-Origin: {origin}' (or '*')"));
    };
    let names_us = |name: &str| name == "*" || name.eq_ignore_ascii_case(origin);
    if !allowed.split(',').map(str::trim).any(names_us) {
        return Err(format!("its header 'WebHook-Allowed-Origin' allows another origin than '{origin}'"));
    }
    // A rate that is none, or more than can be configured, is no limit.
    let per_minute = header("webhook-allowed-rate").and_then(|rate| rate.parse::<u32>().ok());
    Ok(per_minute.and_then(|rate| RateLimit::new(None, Some(rate), None).ok()))
}

fn answers(challenge: &str, body: &str) -> bool {
    let body = body.trim();
    let in_json =
        || serde_json::from_str::<Value>(body).is_ok_and(|json| json["challenge"] == challenge || json == challenge);
    body == challenge || in_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reply { status, headers, body: body.to_owned() }
    }

    #[test]
    fn an_origin_is_allowed_by_its_name_or_by_a_star() {
        let asked = Asked::Origin("hooks.example.com".to_owned());
        let limit = |per_minute| RateLimit::new(None, Some(per_minute), None).ok();
        let table = [
            (200, &[("webhook-allowed-origin", "*")] as &[_], Some(None)),
            (
                204,
                &[("webhook-allowed-origin", "Hooks.Example.com"), ("webhook-allowed-rate", "120")],
                Some(limit(120)),
            ),
            (200, &[("webhook-allowed-origin", "a.example.com, hooks.example.com")], Some(None)),
            (200, &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "*")], Some(None)),
            (200, &[("webhook-allowed-origin", "example.com")], None),
            (200, &[], None),
            (405, &[("webhook-allowed-origin", "*")], None),
        ];
        for (status, headers, wanted) in table {
            assert_eq!(asked.judge(&reply(status, headers, "")).ok(), wanted, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_challenge_is_answered_as_text_or_as_json() {
        let asked = Asked::Challenge("c0ffee".to_owned());
        for good in ["c0ffee", " c0ffee\n", r#"{"challenge": "c0ffee", "ok": true}"#, r#""c0ffee""#] {
            assert_eq!(asked.judge(&reply(200, &[], good)), Ok(None), "{good}");
        }
        for bad in ["", "c0ffe", "c0ffee c0ffee", r#"{"answer": "c0ffee"}"#] {
            assert!(asked.judge(&reply(200, &[], bad)).is_err(), "{bad}");
        }
        assert!(asked.judge(&reply(302, &[], "c0ffee")).is_err());
    }
}
