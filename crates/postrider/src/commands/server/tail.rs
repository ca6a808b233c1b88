//! `postrider tail`: deliveries as they go, asked for again and again.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use postrider_control::clock;
use serde_json::Value;

use super::{deliveries::query, print};
use crate::{
    cli::{DeliveryFilter, Tail},
    failure::Failure,
    server_api::ServerApi,
};

/// How often the server is asked.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How many deliveries are looked at each time: what comes faster than this, between two looks, is passed over.
const WINDOW: usize = 500;
/// How many deliveries are remembered, to tell what is new.
const MAX_REMEMBERED: usize = 20_000;

/// What was said of deliveries last, of the latest ones.
#[derive(Default)]
pub struct Remembered {
    said: HashMap<String, String>,
    order: VecDeque<String>,
}

impl Remembered {
    /// Whether this was not said of a delivery last.
    pub fn is_news(&mut self, delivery: String, said: &str) -> bool {
        let before = self.said.insert(delivery.clone(), said.to_owned());
        if before.is_none() {
            self.order.push_back(delivery);
            if self.order.len() > MAX_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.said.remove(&oldest);
            }
        }
        before.is_none_or(|before| before != said)
    }
}

/// What is new among the newest deliveries.
pub struct Follower {
    filter: DeliveryFilter,
    remembered: Remembered,
}

impl Follower {
    /// Follows what matches a filter from now on: finds out what there is already.
    pub async fn begin(api: &ServerApi, filter: DeliveryFilter) -> Result<Self, Failure> {
        let mut follower = Self { filter, remembered: Remembered::default() };
        let page = api.list("/v1/deliveries", &query(&follower.filter, clock::now()), WINDOW).await?;
        follower.fresh(&page);
        Ok(follower)
    }

    /// Waits for deliveries that are new or changed since the last look; the earliest first.
    pub async fn next(&mut self, api: &ServerApi) -> Result<Vec<Value>, Failure> {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let query = query(&self.filter, clock::now());
            let page = patiently(async || api.list("/v1/deliveries", &query, WINDOW).await).await?;
            let fresh = self.fresh(&page);
            if !fresh.is_empty() {
                return Ok(fresh);
            }
        }
    }

    fn fresh(&mut self, page: &Value) -> Vec<Value> {
        let newest = page["data"].as_array().map_or(&[][..], Vec::as_slice);
        newest.iter().rev().filter(|delivery| self.is_fresh(delivery)).cloned().collect()
    }

    /// Whether a delivery was not seen so before.
    fn is_fresh(&mut self, delivery: &Value) -> bool {
        let text = |name: &str| print::cell(delivery.get(name));
        let state = format!("{} {} {}", text("status"), text("attempt"), text("updated_at"));
        self.remembered.is_news(format!("{} {}", text("message_id"), text("run")), &state)
    }
}

/// Asks until there is an answer: a server that is being replaced ends nobody's watching.
pub async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut is_told = false;
    loop {
        match ask().await {
            Err(Failure::Unreachable(why)) => {
                if !std::mem::replace(&mut is_told, true) {
                    eprintln!("{why}; trying again");
                }
                tokio::time::sleep(INTERVAL).await;
            }
            other => return other,
        }
    }
}

/// Prints deliveries as they go, until it is interrupted.
pub async fn run(arguments: Tail) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let mut follower = Follower::begin(&api, arguments.filter).await?;
    eprintln!("Watching. Ctrl-C ends it.");
    let mut printed = 0;
    loop {
        for delivery in follower.next(&api).await? {
            if arguments.server.json {
                print::line(&delivery);
            } else {
                let text = |name: &str| print::cell(delivery.get(name));
                print::line(format_args!(
                    "{}  {:<9}  {}  {} → {}  attempt {}  {} {}",
                    text("updated_at"),
                    text("status"),
                    text("message_id"),
                    text("event_type"),
                    text("endpoint_id"),
                    text("attempt"),
                    text("last_status"),
                    text("last_error"),
                ));
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
        let filter = DeliveryFilter::default();
        let mut follower = Follower { filter, remembered: Remembered::default() };
        let delivery = |status: &str| json!({"message_id": "msg_1", "run": "0", "status": status, "attempt": 1});
        assert!(follower.is_fresh(&delivery("retrying")));
        assert!(!follower.is_fresh(&delivery("retrying")));
        assert!(follower.is_fresh(&delivery("delivered")));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut remembered = Remembered::default();
        for number in 0..=MAX_REMEMBERED {
            assert!(remembered.is_news(number.to_string(), ""));
        }
        assert_eq!((remembered.said.len(), remembered.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(!remembered.is_news("1".to_owned(), "") && remembered.is_news("0".to_owned(), ""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_for_a_while_is_asked_again_and_one_that_refuses_is_not() {
        let mut answers =
            vec![Ok(1), Err(Failure::Unreachable("b".to_owned())), Err(Failure::Unreachable("a".to_owned()))];
        assert_eq!(patiently(async || answers.pop().unwrap()).await.unwrap(), 1);
        let mut answers = vec![Err::<u8, _>(Failure::Refused("401".to_owned()))];
        assert!(matches!(patiently(async || answers.pop().unwrap()).await, Err(Failure::Refused(_))));
    }
}
