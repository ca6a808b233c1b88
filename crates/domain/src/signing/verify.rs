//! Verifying a message as its receiver does.

use std::time::Duration;

use base64::Engine;
use ed25519_dalek::Signature;
use subtle::{Choice, ConstantTimeEq};

use super::{
    secret::{Key, LENIENT_BASE64, SigningSecret},
    standard::{ED25519_VERSION, SYMMETRIC_VERSION},
};
use crate::{Timestamp, endpoint::HmacEncoding};

/// Why a signature was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp header is not a time.
    #[error(
        "the timestamp is not one: 'webhook-timestamp' is in seconds since 1970, 'x-webhook-timestamp' as RFC 3339"
    )]
    InvalidTimestamp,
    /// Signed too long ago: perhaps a replayed message.
    #[error("the message was signed too long ago: check the receiver's clock, or it was sent again by someone else")]
    TooOld,
    /// Signed in the future.
    #[error("the message was signed in the future: check the receiver's clock")]
    TooNew,
    /// No signature of a version that the secrets can verify.
    #[error(
        "the signature header has no signature of the form that the secrets make ('v1,<base64>', 'v1a,<base64>' or 'v1=<hex>')"
    )]
    NoSignature,
    /// None of the signatures is right.
    #[error("no signature matches: check the secret, and that the body is verified before it is parsed")]
    NoMatch,
}

/// Verifies a message of Standard Webhooks: a signature by any of `secrets`, made within `tolerance` of `now`.
/// Takes the same time whichever symmetric signature or byte is wrong.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    timestamp_header: &str,
    signature_header: &str,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    let seconds: i64 = timestamp_header.parse().map_err(|_| VerifyError::InvalidTimestamp)?;
    check_age(Timestamp::from_millis(seconds.saturating_mul(1_000)), now, tolerance)?;
    let given = |version: &str| -> Vec<Vec<u8>> {
        let encoded = signature_header.split(' ').filter_map(|text| text.strip_prefix(version)?.strip_prefix(','));
        encoded.filter_map(|encoded| LENIENT_BASE64.decode(encoded).ok()).collect()
    };
    let (symmetric, asymmetric) = (given(SYMMETRIC_VERSION), given(ED25519_VERSION));
    let content = [id.as_bytes(), b".", timestamp_header.as_bytes(), b".", body];
    let (mut matches, mut compared) = (Choice::from(0), false);
    for secret in secrets {
        match &secret.0 {
            Key::Symmetric(_) => {
                compared |= !symmetric.is_empty();
                matches |= any_equal(secret, &content, &symmetric);
            }
            Key::Ed25519(key) => {
                compared |= !asymmetric.is_empty();
                let content = content.concat();
                // Public keys are no secret: time tells nothing.
                let right = |signature: &Vec<u8>| {
                    Signature::from_slice(signature).is_ok_and(|it| key.verify_strict(&content, &it).is_ok())
                };
                matches |= Choice::from(u8::from(asymmetric.iter().any(right)));
            }
        }
    }
    verdict(compared, matches)
}

/// Verifies a message of the `X-Webhook` style by its headers `x-webhook-timestamp` and `x-webhook-signature`.
pub fn verify_x_webhook(
    secrets: &[SigningSecret],
    timestamp_header: &str,
    signature_header: &str,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    let signed_at = Timestamp::parse_rfc3339(timestamp_header).ok_or(VerifyError::InvalidTimestamp)?;
    check_age(signed_at, now, tolerance)?;
    let encoded =
        signature_header.split(',').filter_map(|text| text.strip_prefix(SYMMETRIC_VERSION)?.strip_prefix('='));
    let given: Vec<_> = encoded.filter_map(|encoded| hex::decode(encoded).ok()).collect();
    matching(secrets, &[timestamp_header.as_bytes(), b".", body], &given)
}

/// Verifies a message of the plain style by the header that holds its code.
pub fn verify_hmac(
    secrets: &[SigningSecret],
    encoding: HmacEncoding,
    header: &str,
    body: &[u8],
) -> Result<(), VerifyError> {
    let given = match encoding {
        HmacEncoding::Hex => hex::decode(header).ok(),
        HmacEncoding::Base64 => LENIENT_BASE64.decode(header).ok(),
    };
    matching(secrets, &[body], &Vec::from_iter(given))
}

fn check_age(signed_at: Timestamp, now: Timestamp, tolerance: Duration) -> Result<(), VerifyError> {
    if now.since(signed_at) > tolerance {
        Err(VerifyError::TooOld)
    } else if signed_at.since(now) > tolerance {
        Err(VerifyError::TooNew)
    } else {
        Ok(())
    }
}

fn matching(secrets: &[SigningSecret], content: &[&[u8]], given: &[Vec<u8>]) -> Result<(), VerifyError> {
    let matches = secrets.iter().fold(Choice::from(0), |matches, secret| matches | any_equal(secret, content, given));
    verdict(!given.is_empty(), matches)
}

fn any_equal(secret: &SigningSecret, content: &[&[u8]], given: &[Vec<u8>]) -> Choice {
    let Some(expected) = secret.mac(content) else { return Choice::from(0) };
    given.iter().fold(Choice::from(0), |matches, signature| matches | expected.ct_eq(signature))
}

fn verdict(compared: bool, matches: Choice) -> Result<(), VerifyError> {
    match (compared, bool::from(matches)) {
        (_, true) => Ok(()),
        (true, false) => Err(VerifyError::NoMatch),
        (false, false) => Err(VerifyError::NoSignature),
    }
}

#[cfg(test)]
mod tests;
