//! `postrider tail`: deliveries as they go, asked for again and again.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde_json::Value;

use super::{deliveries::query, print};
use crate::{
    cli::{DeliveryFilter, Tail},
    failure::Failure,
    server_api::ServerApi,
};

/// How often the server is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many deliveries are looked at each time: what comes faster than this, between two looks, is passed over.
const WINDOW: usize = 500;
/// How many deliveries are remembered, to tell what is new.
const MAX_REMEMBERED: usize = 20_000;

/// What is new among the newest deliveries.
pub struct Follower {
    filter: DeliveryFilter,
    seen: HashMap<String, String>,
    order: VecDeque<String>,
    begun: bool,
}

impl Follower {
    /// Follows what matches a filter, from now on.
    pub fn new(filter: DeliveryFilter) -> Self {
        Self { filter, seen: HashMap::new(), order: VecDeque::new(), begun: false }
    }

    /// Waits for deliveries that are new or changed since the last look; the earliest first. The first look only
    /// finds out what there is.
    pub async fn next(&mut self, api: &ServerApi) -> Result<Vec<Value>, Failure> {
        loop {
            if self.begun {
                tokio::time::sleep(INTERVAL).await;
            }
            let page = api.list("/v1/deliveries", &query(&self.filter), WINDOW).await?;
            let newest = page["data"].as_array().cloned().unwrap_or_default();
            let fresh: Vec<Value> = newest.into_iter().rev().filter(|delivery| self.is_fresh(delivery)).collect();
            if !std::mem::replace(&mut self.begun, true) {
                continue;
            }
            if !fresh.is_empty() {
                return Ok(fresh);
            }
        }
    }

    /// Whether a delivery was not seen so before.
    fn is_fresh(&mut self, delivery: &Value) -> bool {
        let text = |name: &str| print::cell(delivery.get(name));
        let id = format!("{} {}", text("message_id"), text("run"));
        let state = format!("{} {} {}", text("status"), text("attempt"), text("updated_at"));
        let known = self.seen.insert(id.clone(), state.clone());
        if known.is_none() {
            self.order.push_back(id);
            if self.order.len() > MAX_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
            }
        }
        known.is_none_or(|known| known != state)
    }
}

/// Prints deliveries as they go, until it is interrupted.
pub async fn run(arguments: Tail) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let mut follower = Follower::new(arguments.filter);
    let mut printed = 0;
    loop {
        for delivery in follower.next(&api).await? {
            if arguments.server.json {
                println!("{delivery}");
            } else {
                let text = |name: &str| print::cell(delivery.get(name));
                println!(
                    "{}  {:<9}  {}  {} → {}  attempt {}  {} {}",
                    text("updated_at"),
                    text("status"),
                    text("message_id"),
                    text("event_type"),
                    text("endpoint_id"),
                    text("attempt"),
                    text("last_status"),
                    text("last_error"),
                );
            }
            printed += 1;
            if arguments.lines == Some(printed) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delivery_is_fresh_when_it_is_new_or_changed() {
        let filter = DeliveryFilter { endpoint: None, event_type: None, status: None };
        let mut follower = Follower::new(filter);
        let delivery = |status: &str| json!({"message_id": "msg_1", "run": "0", "status": status, "attempt": 1});
        assert!(follower.is_fresh(&delivery("retrying")));
        assert!(!follower.is_fresh(&delivery("retrying")));
        assert!(follower.is_fresh(&delivery("delivered")));
    }
}
