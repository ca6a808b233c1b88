//! The headers that identify and sign a request, in each style.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    secret::SigningSecret,
    standard::{SYMMETRIC_VERSION, signature_header},
};
use crate::{
    Attempt, EndpointId, MessageId, Timestamp,
    endpoint::{HmacEncoding, SigningStyle},
};

/// A header's name in lower case, and its value.
type Header = (Cow<'static, str>, String);

/// What a request is signed over, or says beside its signature.
#[derive(Debug, Clone, Copy)]
pub struct SignedParts<'a> {
    /// The delivery's message id.
    pub message_id: &'a MessageId,
    /// The endpoint that it is for.
    pub endpoint_id: &'a EndpointId,
    /// When it is signed.
    pub now: Timestamp,
    /// The whole body.
    pub body: &'a [u8],
}

/// None of an endpoint's secrets can sign in its style: nothing is sent unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no secret of the endpoint can sign in its signing style: give it a valid one (a 'whsec_…' for any but the standard style)"
)]
pub struct NothingToSignWith;

/// The headers of `style`, signed with `secrets` (newest first).
///
/// | style | headers |
/// |---|---|
/// | [`SigningStyle::Standard`] | `webhook-id`, `webhook-timestamp` (Unix seconds), `webhook-signature` (one `v1,<base64>` or `v1a,<base64>` per secret, separated by spaces) |
/// | [`SigningStyle::XWebhook`] | `webhook-id`, `x-webhook-id` (the endpoint's id), `x-webhook-timestamp` (ISO 8601), `x-webhook-signature` (one `v1=<hex>` per symmetric secret, separated by commas), `x-webhook-signature-timestamp` (Unix seconds) |
/// | [`SigningStyle::Hmac`] | `webhook-id`, and the header of the user's choice |
///
/// In the `X-Webhook` style the HMAC-SHA256 is over `<x-webhook-timestamp>.<body>`, with the timestamp's text
/// exactly as that header has it (`2026-01-31T12:00:00.000Z`); `x-webhook-signature-timestamp` is the same moment,
/// for receivers that would rather compare numbers, and is not signed itself. In the plain style it is over the
/// body alone, by the newest symmetric secret only, since the header holds one code: for a time after a rotation
/// such a receiver has to take either secret. An HMAC's key is what follows `whsec_`, decoded.
pub fn signed_headers(
    style: &SigningStyle,
    secrets: &[SigningSecret],
    parts: SignedParts<'_>,
) -> Result<Vec<Header>, NothingToSignWith> {
    let id: Header = (Cow::Borrowed("webhook-id"), parts.message_id.as_str().to_owned());
    let seconds = parts.now.as_seconds();
    match style {
        SigningStyle::Standard => {
            let signature = signature_header(secrets, parts.message_id.as_str(), seconds, parts.body);
            let headers = vec![
                id,
                (Cow::Borrowed("webhook-timestamp"), seconds.to_string()),
                (Cow::Borrowed("webhook-signature"), signed(signature)?),
            ];
            Ok(headers)
        }
        SigningStyle::XWebhook => {
            let timestamp = parts.now.to_rfc3339();
            let signature = x_webhook_signature(secrets, &timestamp, parts.body);
            let headers = vec![
                id,
                (Cow::Borrowed("x-webhook-id"), parts.endpoint_id.as_str().to_owned()),
                (Cow::Borrowed("x-webhook-timestamp"), timestamp),
                (Cow::Borrowed("x-webhook-signature"), signed(signature)?),
                (Cow::Borrowed("x-webhook-signature-timestamp"), seconds.to_string()),
            ];
            Ok(headers)
        }
        SigningStyle::Hmac { header, encoding } => {
            let mac = secrets.iter().find_map(|secret| secret.mac(&[parts.body])).ok_or(NothingToSignWith)?;
            let code = match encoding {
                HmacEncoding::Hex => hex::encode(mac),
                HmacEncoding::Base64 => STANDARD.encode(mac),
            };
            Ok(vec![id, (Cow::Owned(header.to_ascii_lowercase()), code)])
        }
    }
}

/// The headers that say which try this is: `webhook-attempt` (from 1), and from the second on
/// `webhook-first-attempt-at` (RFC 3339, UTC).
pub fn attempt_headers(attempt: Attempt, first_attempt_at: Option<Timestamp>) -> impl Iterator<Item = Header> {
    let number = (Cow::Borrowed("webhook-attempt"), attempt.to_string());
    let first = first_attempt_at.map(|at| (Cow::Borrowed("webhook-first-attempt-at"), at.to_rfc3339()));
    std::iter::once(number).chain(first)
}

fn x_webhook_signature(secrets: &[SigningSecret], timestamp: &str, body: &[u8]) -> String {
    let content = [timestamp.as_bytes(), b".", body];
    let codes = secrets.iter().filter_map(|secret| secret.mac(&content));
    codes.map(|mac| format!("{SYMMETRIC_VERSION}={}", hex::encode(mac))).collect::<Vec<_>>().join(",")
}

fn signed(signature: String) -> Result<String, NothingToSignWith> {
    if signature.is_empty() { Err(NothingToSignWith) } else { Ok(signature) }
}

#[cfg(test)]
mod tests;
