//! What Postrider's API says of an endpoint's deliveries.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::scenario::Counts;
use crate::ApiClient;

/// The API's word for a delivery that ended in the dead-letter queue.
pub const DEAD_LETTERED: &str = "failed";
const DELIVERED: &str = "delivered";

/// The deliveries of one endpoint, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointLog {
    /// The numbers.
    pub counts: Counts,
    /// The message ids.
    pub message_ids: BTreeSet<String>,
}

impl EndpointLog {
    /// How many deliveries have ended, one way or the other.
    pub fn ended(&self) -> usize {
        self.counts.delivered + self.counts.dead_lettered
    }

    fn add(&mut self, delivery: &Value) -> anyhow::Result<()> {
        let message_id = delivery["message_id"].as_str().context("a delivery without its message_id")?;
        let attempts = delivery["attempt"].as_u64().context("a delivery without its attempt")?;
        let status = delivery["status"].as_str().context("a delivery without its status")?;
        let attempts = usize::try_from(attempts).context("too many attempts")?;
        self.counts.matched += 1;
        self.counts.delivered += usize::from(status == DELIVERED);
        self.counts.dead_lettered += usize::from(status == DEAD_LETTERED);
        self.counts.retried += usize::from(attempts > 1);
        self.counts.requests += attempts;
        self.message_ids.insert(message_id.to_owned());
        Ok(())
    }
}

/// Reads every delivery of an endpoint, page by page.
pub async fn read(api: &ApiClient, endpoint: &str) -> anyhow::Result<EndpointLog> {
    let mut log = EndpointLog::default();
    let mut cursor: Option<String> = None;
    loop {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/v1/deliveries?endpoint_id={endpoint}&limit=100{after}");
        let (status, body) = api.get(&path).await?;
        ensure!(status.is_success(), "GET {path} answered {status}: {body}");
        for delivery in body["data"].as_array().with_context(|| format!("GET {path} answered without data"))? {
            log.add(delivery)?;
        }
        cursor = body["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(log);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deliveries_are_counted_by_how_they_ended() {
        let mut log = EndpointLog::default();
        for (id, attempt, status) in [("a", 1, "delivered"), ("b", 3, "failed"), ("c", 2, "retrying")] {
            log.add(&json!({ "message_id": id, "attempt": attempt, "status": status })).unwrap();
        }
        let counts = Counts { matched: 3, delivered: 1, retried: 2, dead_lettered: 1, requests: 6 };
        assert_eq!((log.counts, log.ended(), log.message_ids.len()), (counts, 2, 3));
    }
}
