//! An endpoint, as the data plane knows it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, RateLimit, SecretId, TenantId, Timestamp, retry::RetryPolicy, seal::Sealed};

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
    /// Everything that has a default.
    pub settings: EndpointSettings,
}

/// What of an endpoint is usually left as it is. As JSON, a field that has its default may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// Paused by its owner: what comes is held until it is resumed.
    #[serde(skip_serializing_if = "is_default")]
    pub paused: bool,
    /// Live deliveries matched before this are skipped wherever they are met (resume "since" or "none").
    #[serde(skip_serializing_if = "is_default")]
    pub skip_before: Option<Timestamp>,
    /// When nothing is sent: what comes is held and sent afterwards.
    #[serde(skip_serializing_if = "is_default")]
    pub maintenance: Vec<MaintenanceWindow>,
    /// How many deliveries it takes; none: as many as it answers.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limit: Option<RateLimit>,
    /// Deliveries of one ordering key are sent one at a time, in order.
    #[serde(skip_serializing_if = "is_default")]
    pub ordering: Option<Ordering>,
    /// How requests are signed.
    #[serde(skip_serializing_if = "is_default")]
    pub signing: SigningStyle,
    /// What the body is.
    #[serde(skip_serializing_if = "is_default")]
    pub body: BodyStyle,
    /// The largest body that is sent to it, in bytes; none: as large as any is.
    #[serde(skip_serializing_if = "is_default")]
    pub max_payload_bytes: Option<u32>,
    /// Headers that are sent with every request.
    #[serde(skip_serializing_if = "is_default")]
    pub headers: Vec<CustomHeader>,
    /// A client certificate chain and its private key (PEM), sealed.
    #[serde(skip_serializing_if = "is_default")]
    pub client_identity: Option<Sealed>,
    /// Certificate authorities (PEM) that are trusted instead of the deployment's.
    #[serde(skip_serializing_if = "is_default")]
    pub ca: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A time in which nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceWindow {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// It comes again after each so many seconds; none: once.
    pub every_seconds: Option<u32>,
}

impl MaintenanceWindow {
    /// Whether `now` lies in it, or in one of its repetitions.
    pub fn contains(&self, now: Timestamp) -> bool {
        if now < self.from {
            return false;
        }
        let since = now.since(self.from);
        let into = match self.every_seconds {
            Some(seconds) if seconds > 0 => {
                let every = Duration::from_secs(seconds.into());
                Duration::from_millis(u64::try_from(since.as_millis() % every.as_millis()).unwrap_or(u64::MAX))
            }
            _ => since,
        };
        into < self.until.since(self.from)
    }
}

/// How an ordered endpoint treats a delivery that has used up its attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordering {
    /// What happens to the rest of its key.
    pub on_exhausted: OnExhausted,
}

/// What happens to a key of an ordered endpoint whose head has used up its attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// The head goes to the dead-letter queue and the key goes on.
    #[default]
    Skip,
    /// The key waits until the endpoint is enabled anew or the head is cancelled.
    Block,
}

/// How requests are signed. `webhook-id` is always sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningStyle {
    /// Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    #[default]
    Standard,
    /// `X-Webhook-ID` (the endpoint's id), `X-Webhook-Timestamp` (ISO 8601), `X-Webhook-Signature: v1=<hex>` over
    /// `timestamp.body`, `X-Webhook-Signature-Timestamp` (Unix seconds).
    XWebhook,
    /// HMAC-SHA256 of the body alone, in a header of the user's choice.
    Hmac {
        /// The header's name.
        header: String,
        /// How the code is written.
        encoding: HmacEncoding,
    },
}

/// How an HMAC is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacEncoding {
    /// Lower-case hexadecimal.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// What the body is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyStyle {
    /// `{"type", "timestamp", "data"}` around the untouched bytes of the data.
    #[default]
    Envelope,
    /// CloudEvents 1.0 in structured mode (JSON).
    CloudeventsStructured,
    /// CloudEvents 1.0 in binary mode: the data alone, attributes as `ce-` headers.
    CloudeventsBinary,
    /// `{"id", "timestamp", "event", "teamId", "data", "previousData", "metadata"}`.
    Crm,
    /// The data alone.
    Raw,
}

/// A header that is sent with every request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomHeader {
    /// Its name.
    pub name: String,
    /// Its value, sealed.
    pub value: Sealed,
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
    /// The value of a custom header.
    pub const HEADER: &str = "endpoint.header";
    /// A client certificate with its key.
    pub const CLIENT_IDENTITY: &str = "endpoint.client_identity";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maintenance_window_comes_once_or_again_and_again() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let window = |every_seconds| MaintenanceWindow { from: at(100), until: at(160), every_seconds };
        let table =
            [(99, false, false), (100, true, true), (159, true, true), (160, false, false), (1_100, false, true)];
        for (seconds, once, repeated) in table {
            let found = (window(None).contains(at(seconds)), window(Some(1_000)).contains(at(seconds)));
            assert_eq!(found, (once, repeated), "{seconds} s");
        }
    }
}
