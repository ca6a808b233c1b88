//! Retry policies.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Attempt;

/// When a failed delivery is tried again. JSON as in the API:
/// `{"schedule": "standard"}`, `{"delays_seconds": [5, 60]}`,
/// `{"exponential": {"initial_seconds": 5, "factor": 2.0, "max_seconds": 3600, "retries": 5}}`;
/// each may have `"max_age_seconds"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {}

impl RetryPolicy {
    /// The delay after attempt number `failed`, without jitter; none if it was the last.
    pub fn delay_after(&self, failed: Attempt) -> Option<Duration> { todo!() }
}
