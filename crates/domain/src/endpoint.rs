//! An endpoint, as the data plane knows it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, SecretId, TenantId, Timestamp, retry::RetryPolicy, seal::Sealed};

/// What the data plane needs to send to an endpoint. Everything secret is sealed; it is opened when sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id: the key by which its deliveries are partitioned.
    pub id: EndpointId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Its full URL, sealed (the path or query of a chat hook is a secret).
    pub url: Sealed,
    /// Scheme, host and port, in the clear: for metrics, logs and pools.
    pub origin: String,
    /// Whether deliveries are sent; what arrives while it is false waits.
    pub enabled: bool,
    /// Bumped by enable, resume or a URL change; only a newer one clears an automatic disable.
    pub enabled_version: i64,
    /// Deadline of one attempt, milliseconds: 1,000 to 60,000.
    pub timeout_ms: u32,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// The keys to sign with, newest first; all that have not expired sign.
    pub secrets: Vec<EndpointSecret>,
}

impl Endpoint {
    /// Deadline of one attempt.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_ms))
    }
}

/// One signing secret of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// Its id.
    pub id: SecretId,
    /// The secret's text (`whsec_…`), sealed.
    pub sealed: Sealed,
    /// When it stops signing; none for the current one.
    pub expires_at: Option<Timestamp>,
}

/// What a sealed value is, so that one can't stand in for another (see [`crate::seal`]).
pub mod purpose {
    /// An endpoint's URL.
    pub const URL: &str = "endpoint.url";
    /// An endpoint's signing secret.
    pub const SECRET: &str = "endpoint.secret";
}
