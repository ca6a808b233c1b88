//! Standard Webhooks 1.0.0 signatures: `v1` (HMAC-SHA256) and `v1a` (ed25519).
//!
//! What is signed is `<webhook-id>.<webhook-timestamp>.<body>`; the header `webhook-signature` holds
//! `v1,<base64>` or `v1a,<base64>` once per key, separated by spaces.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::Signer;

use super::secret::{Key, SigningSecret};

/// The version of a symmetric signature.
pub(super) const SYMMETRIC_VERSION: &str = "v1";
/// The version of an ed25519 signature.
pub(super) const ED25519_VERSION: &str = "v1a";

/// The value of `webhook-signature`: one signature per secret, in their order. `timestamp` is in Unix seconds,
/// as in the header `webhook-timestamp`.
pub fn signature_header(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let signatures: Vec<_> = secrets.iter().map(|secret| signature(secret, &content)).collect();
    signatures.join(" ")
}

fn signature(secret: &SigningSecret, content: &[&[u8]]) -> String {
    match &secret.0 {
        Key::Symmetric(_) => {
            let mac = secret.mac(content).expect("a symmetric key makes a code");
            format!("{SYMMETRIC_VERSION},{}", STANDARD.encode(mac))
        }
        // Ed25519 reads what it signs twice, so it wants it in one piece.
        Key::Ed25519(key) => format!("{ED25519_VERSION},{}", STANDARD.encode(key.sign(&content.concat()).to_bytes())),
    }
}
