//! What the owner of an endpoint's partition remembers of it: the records of `postrider.endpoint-state`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Attempt, EndpointId, TenantId, Timestamp, breaker::BreakerSnapshot, failing::FailureRecord};

/// What is known of one endpoint. Keyed by endpoint id; an endpoint of which there is nothing to say has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointState {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The term of the owner that wrote this: a record of an older term never wins.
    pub term: i64,
    /// Since when it fails, and how often.
    pub failing: FailureRecord,
    /// Its breaker, if that is not closed.
    pub breaker: Option<BreakerSnapshot>,
    /// That it was disabled because it failed; cleared by a newer `enabled_version`.
    pub disabled: Option<AutoDisabled>,
    /// That it has deliveries in `postrider.held`.
    pub holding: Option<Holding>,
}

/// Why and when an endpoint was disabled by the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoDisabled {
    /// Why.
    pub reason: DisableReason,
    /// The `enabled_version` of the configuration that failed: only a newer one clears this.
    pub enabled_version: i64,
    /// When (broker time).
    pub at: Timestamp,
}

/// Why an endpoint was disabled by the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisableReason {
    /// It answered 410: it wants no more.
    Gone,
    /// It has failed for days without a success.
    Failing,
}

impl DisableReason {
    /// Its stable name, as stored and as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// A text that names no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not why an endpoint was disabled: expected gone or failing")]
pub struct UnknownDisableReason(String);

impl FromStr for DisableReason {
    type Err = UnknownDisableReason;

    fn from_str(text: &str) -> Result<Self, UnknownDisableReason> {
        let found = [Self::Gone, Self::Failing].into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| UnknownDisableReason(text.to_owned()))
    }
}

/// What of `postrider.held` is an endpoint's and not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The offset below which all of this endpoint's records are done.
    pub position: i64,
    /// Offsets above it that are done, as [`crate::runs::Runs`] encodes them; other endpoints' count as done.
    #[serde(with = "serde_bytes")]
    pub done: Vec<u8>,
    /// Whether all of an ordered endpoint's deliveries go to `held`, not only those of its blocked keys.
    pub whole: bool,
    /// The keys of an ordered endpoint that wait there.
    pub blocked: Vec<BlockedKey>,
}

/// A key of an ordered endpoint whose deliveries wait in `postrider.held`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedKey {
    /// The ordering key.
    pub key: String,
    /// Its records below this offset are done; the first that is not is its head.
    pub from_offset: i64,
    /// The attempt that the head is due for.
    pub attempt: Attempt,
    /// When the head was first tried; none before that.
    pub first_attempt_at: Option<Timestamp>,
    /// When the head is due (broker time); none: it has used up its attempts and blocks its key.
    pub next_at: Option<Timestamp>,
    /// The `enabled_version` that the head was blocked under: a newer one tries it again.
    pub enabled_version: i64,
}

/// The term of a partition's owner. Keyed [`StateTerm::KEY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateTerm {
    /// One more than the highest that its owner had seen.
    pub term: i64,
    /// Which owner: so that it knows its own.
    pub owner: i64,
}

impl StateTerm {
    /// The record's key.
    pub const KEY: &'static str = "#term";
}

impl EndpointState {
    /// The state of an endpoint of which nothing is known.
    pub fn new(endpoint: EndpointId, tenant: TenantId, term: i64) -> Self {
        Self { endpoint, tenant, term, failing: FailureRecord::default(), breaker: None, disabled: None, holding: None }
    }

    /// Whether there is nothing to remember: then its record is a tombstone.
    pub fn is_empty(&self) -> bool {
        self.failing == FailureRecord::default()
            && self.breaker.is_none()
            && self.disabled.is_none()
            && self.holding.is_none()
    }
}
