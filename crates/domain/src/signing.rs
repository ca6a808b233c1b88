//! Standard Webhooks 1.0.0 signatures (`v1`, HMAC-SHA256).

use std::{fmt, time::Duration};

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::Timestamp;

/// A symmetric signing secret.
#[derive(Clone)]
pub struct SigningSecret(Zeroizing<Vec<u8>>);

/// Not a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// x
    #[error("x")]
    Prefix,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// x
    #[error("x")]
    NoMatch,
}

impl SigningSecret {
    /// New.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        todo!()
    }
    /// Parses.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        todo!()
    }
    /// Text.
    pub fn to_text(&self) -> Zeroizing<String> {
        todo!()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
    }
}

/// Header.
pub fn signature_header(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    todo!()
}

/// Verifies.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    timestamp_header: &str,
    signature_header: &str,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    todo!()
}
