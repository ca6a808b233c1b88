//! What is wrong with a message that a receiver could not verify: check by check.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use postrider_domain::{
    MessageId, Timestamp,
    endpoint::{HmacEncoding, SigningStyle},
    signing::{SigningSecret, VerifyError, verify, verify_hmac, verify_x_webhook},
};

const BYTES_OF_HMAC: usize = 32;
const BYTES_OF_ED25519: usize = 64;

/// A message as its receiver had it.
#[derive(Debug)]
pub struct ReceivedMessage<'a> {
    /// Its headers, names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// Its body, as received.
    pub body: &'a [u8],
    /// When it was received.
    pub at: Timestamp,
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The headers of the style are there and are written as they should be.
    Format,
    /// The message's id.
    Id,
    /// When it was signed.
    Timestamp,
    /// The signature itself.
    Signature,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Passed,
    /// Not; why, and what to do.
    Failed(String),
    /// There was nothing to check: the style has no such thing, or an earlier check failed.
    Skipped(&'static str),
}

impl Finding {
    fn of(failed: Option<String>) -> Self {
        failed.map_or(Self::Passed, Self::Failed)
    }
}

/// Checks a message that was signed in `style` with one of `secrets`, within `tolerance` of when it was received. Each
/// check tells of its own subject only: a message that is too old can have a right signature.
pub fn check(
    style: &SigningStyle,
    secrets: &[SigningSecret],
    message: &ReceivedMessage<'_>,
    tolerance: Duration,
) -> [(Check, Finding); 4] {
    let (format, timestamp, signature) = match style {
        SigningStyle::Standard => standard(secrets, message, tolerance),
        SigningStyle::XWebhook => x_webhook(secrets, message, tolerance),
        SigningStyle::Hmac { header, encoding } => hmac(secrets, message, header, *encoding),
    };
    let id = match message.headers.get("webhook-id") {
        Some(id) => Finding::of(id.parse::<MessageId>().err().map(|error| format!("webhook-id: {error}"))),
        None => Finding::Failed("the header 'webhook-id' is missing".to_owned()),
    };
    [(Check::Format, format), (Check::Id, id), (Check::Timestamp, timestamp), (Check::Signature, signature)]
}

/// How format, timestamp and signature are.
type Findings = (Finding, Finding, Finding);

fn standard(secrets: &[SigningSecret], message: &ReceivedMessage<'_>, tolerance: Duration) -> Findings {
    let header = |name: &str| message.headers.get(name).map(String::as_str);
    let (Some(id), Some(signed_at), Some(signatures)) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
    else {
        return missing(message, &["webhook-id", "webhook-timestamp", "webhook-signature"]);
    };
    let malformed = signatures.split(' ').find_map(malformed_standard);
    let seconds = signed_at.parse::<i64>().ok().map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000)));
    let right = |body: &[u8]| {
        let at = seconds.unwrap_or(Timestamp::EPOCH);
        verify(secrets, id, signed_at, signatures, body, at, tolerance)
    };
    (Finding::of(malformed), timestamp(seconds, message.at, tolerance), signature(seconds, message.body, right))
}

/// What is wrong with one entry of `webhook-signature`; of versions that nobody knows nothing.
fn malformed_standard(entry: &str) -> Option<String> {
    let Some((version, encoded)) = entry.split_once(',') else {
        return Some(
            "webhook-signature has an entry without a version: expected 'v1,<base64>' or 'v1a,<base64>', separated by \
             spaces"
                .to_owned(),
        );
    };
    let bytes = match version {
        "v1" => BYTES_OF_HMAC,
        "v1a" => BYTES_OF_ED25519,
        _ => return None,
    };
    match BASE64_STANDARD.decode(encoded) {
        Ok(decoded) if decoded.len() == bytes => None,
        Ok(decoded) => Some(format!(
            "webhook-signature has a '{version}' entry of {} bytes instead of {bytes}: was it cut?",
            decoded.len()
        )),
        Err(_) => Some(format!("webhook-signature has a '{version}' entry that is not base64: was it cut or escaped?")),
    }
}

fn x_webhook(secrets: &[SigningSecret], message: &ReceivedMessage<'_>, tolerance: Duration) -> Findings {
    let header = |name: &str| message.headers.get(name).map(String::as_str);
    let (Some(signed_at), Some(signatures)) = (header("x-webhook-timestamp"), header("x-webhook-signature")) else {
        return missing(message, &["x-webhook-timestamp", "x-webhook-signature"]);
    };
    let malformed = signatures.split(',').find_map(|entry| {
        let well_formed = entry.strip_prefix("v1=").is_some_and(|code| is_hex(code, BYTES_OF_HMAC));
        (!well_formed).then(|| "x-webhook-signature has an entry that is not 'v1=' and 64 hex digits".to_owned())
    });
    let at = Timestamp::parse_rfc3339(signed_at);
    let right =
        |body: &[u8]| verify_x_webhook(secrets, signed_at, signatures, body, at.unwrap_or(Timestamp::EPOCH), tolerance);
    (Finding::of(malformed), timestamp(at, message.at, tolerance), signature(at, message.body, right))
}

fn hmac(secrets: &[SigningSecret], message: &ReceivedMessage<'_>, name: &str, encoding: HmacEncoding) -> Findings {
    let Some(code) = message.headers.get(&name.to_ascii_lowercase()) else {
        return missing(message, &[name]);
    };
    let (well_formed, expected) = match encoding {
        HmacEncoding::Hex => (is_hex(code, BYTES_OF_HMAC), "64 hex digits"),
        HmacEncoding::Base64 => {
            (BASE64_STANDARD.decode(code).is_ok_and(|bytes| bytes.len() == BYTES_OF_HMAC), "base64 of 32 bytes")
        }
    };
    let malformed = (!well_formed).then(|| format!("the header '{name}' is not {expected}"));
    let right = |body: &[u8]| verify_hmac(secrets, encoding, code, body);
    let signature = signature(Some(Timestamp::EPOCH), message.body, right);
    (Finding::of(malformed), Finding::Skipped("the style has no timestamp"), signature)
}

fn missing(message: &ReceivedMessage<'_>, needed: &[&str]) -> Findings {
    let missing: Vec<String> = needed
        .iter()
        .filter(|name| !message.headers.contains_key(&name.to_ascii_lowercase()))
        .map(|name| format!("'{name}'"))
        .collect();
    let skipped = "a header is missing";
    let failed = format!("missing: the header {}", missing.join(", "));
    (Finding::Failed(failed), Finding::Skipped(skipped), Finding::Skipped(skipped))
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn timestamp(signed_at: Option<Timestamp>, received_at: Timestamp, tolerance: Duration) -> Finding {
    let Some(signed_at) = signed_at else { return Finding::Failed(VerifyError::InvalidTimestamp.to_string()) };
    let (late, early) = (received_at.since(signed_at), signed_at.since(received_at));
    if late > tolerance {
        Finding::Failed(format!("{}: {} s before it was received", VerifyError::TooOld, late.as_secs()))
    } else if early > tolerance {
        Finding::Failed(format!("{}: {} s after it was received", VerifyError::TooNew, early.as_secs()))
    } else {
        Finding::Passed
    }
}

fn signature(signed_at: Option<Timestamp>, body: &[u8], right: impl Fn(&[u8]) -> Result<(), VerifyError>) -> Finding {
    if signed_at.is_none() {
        return Finding::Skipped("the timestamp, which is signed, can't be read");
    }
    match right(body) {
        Ok(()) => Finding::Passed,
        Err(error) => Finding::Failed(match changed_body(body, right) {
            Some(how) => format!("the body was changed before it was verified: the signature is right {how}"),
            None => error.to_string(),
        }),
    }
}

/// How the body has to be changed for its signature to be right, if it is one of the usual ways.
fn changed_body(body: &[u8], right: impl Fn(&[u8]) -> Result<(), VerifyError>) -> Option<&'static str> {
    if right(body.trim_ascii()).is_ok() {
        return Some("without the white space around it");
    }
    let parsed: serde_json::Value = serde_json::from_slice(body).ok()?;
    let compact = serde_json::to_vec(&parsed).ok()?;
    right(&compact).is_ok().then_some("for the same JSON without white space: verify the bytes, then parse them")
}

#[cfg(test)]
mod tests {
    use postrider_domain::{
        EndpointId,
        signing::{SignedParts, signed_headers},
    };
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const TOLERANCE: Duration = Duration::from_mins(5);
    const BODY: &[u8] = br#"{"type":"order.created","data":{"total":1}}"#;

    fn secret(seed: u64) -> SigningSecret {
        SigningSecret::generate(&mut StdRng::seed_from_u64(seed))
    }

    fn styles() -> [SigningStyle; 4] {
        let hmac = |encoding| SigningStyle::Hmac { header: "X-Signature".to_owned(), encoding };
        [SigningStyle::Standard, SigningStyle::XWebhook, hmac(HmacEncoding::Hex), hmac(HmacEncoding::Base64)]
    }

    fn signed(style: &SigningStyle) -> BTreeMap<String, String> {
        let parts = SignedParts {
            message_id: &MessageId::from_trusted("msg_abqv5r5azy4rgtfna4j5pzfbr3"),
            endpoint_id: &EndpointId::from_trusted("ep_01hzzzzzzzzzzzzzzzzzzzzzzz"),
            now: NOW,
            body: BODY,
        };
        let headers = signed_headers(style, &[secret(1)], parts).expect("a symmetric secret signs in every style");
        headers.into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }

    fn failed(style: &SigningStyle, headers: &BTreeMap<String, String>, body: &[u8], at: Timestamp) -> Vec<Check> {
        let message = ReceivedMessage { headers, body, at };
        let findings = check(style, &[secret(1)], &message, TOLERANCE);
        findings.into_iter().filter(|(_, it)| matches!(it, Finding::Failed(_))).map(|(check, _)| check).collect()
    }

    #[test]
    fn what_postrider_signs_passes_every_check_in_every_style() {
        for style in styles() {
            assert_eq!(failed(&style, &signed(&style), BODY, NOW), [], "{style:?}");
        }
    }

    #[test]
    fn each_fault_fails_its_own_check() {
        for style in styles() {
            let headers = signed(&style);
            assert_eq!(failed(&style, &headers, b"{}", NOW), [Check::Signature], "{style:?}");
            let (mut bad_id, mut no_id) = (headers.clone(), headers.clone());
            bad_id.insert("webhook-id".to_owned(), "1".to_owned());
            no_id.remove("webhook-id");
            assert!(failed(&style, &bad_id, BODY, NOW).contains(&Check::Id), "{style:?}");
            assert!(failed(&style, &no_id, BODY, NOW).contains(&Check::Id), "{style:?}");
            if !matches!(style, SigningStyle::Hmac { .. }) {
                let late = NOW + TOLERANCE + Duration::from_secs(1);
                assert_eq!(failed(&style, &headers, BODY, late), [Check::Timestamp], "{style:?}");
                let early = NOW - TOLERANCE - Duration::from_secs(1);
                assert_eq!(failed(&style, &headers, BODY, early), [Check::Timestamp], "{style:?}");
            }
            let unsigned = BTreeMap::from([("webhook-id".to_owned(), headers["webhook-id"].clone())]);
            assert_eq!(failed(&style, &unsigned, BODY, NOW), [Check::Format], "{style:?}");
        }
    }

    #[test]
    fn a_cut_signature_is_a_fault_of_format() {
        for (style, name) in
            styles().iter().zip(["webhook-signature", "x-webhook-signature", "x-signature", "x-signature"])
        {
            let mut headers = signed(style);
            let value = headers.get_mut(name).expect("it is signed");
            value.truncate(value.len() - 4);
            assert!(failed(style, &headers, BODY, NOW).contains(&Check::Format), "{style:?}");
        }
    }

    #[test]
    fn a_body_that_was_parsed_or_trimmed_before_is_told_from_a_wrong_secret() {
        let style = SigningStyle::Standard;
        let headers = signed(&style);
        let told = |secrets: &[SigningSecret], body: &[u8]| {
            let message = ReceivedMessage { headers: &headers, body, at: NOW };
            match check(&style, secrets, &message, TOLERANCE) {
                [.., (Check::Signature, Finding::Failed(why))] => why,
                other => panic!("{other:?}"),
            }
        };
        assert!(told(&[secret(1)], &[BODY, b"\n"].concat()).contains("white space around"));
        let pretty = b"{ \"type\": \"order.created\", \"data\": { \"total\": 1 } }";
        assert!(told(&[secret(1)], pretty).contains("parse"));
        assert!(told(&[secret(2)], BODY).contains("check the secret"));
        assert!(told(&[], BODY).contains("no signature"));
    }
}
