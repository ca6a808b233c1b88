//! Which keys were used, by day and route: counted in memory, written every few seconds.

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use parking_lot::Mutex;
use postrider_domain::{KeyId, Timestamp};
use postrider_postgres::{
    Database, Error,
    api_key_usage::{self, UsageRow},
};
use tokio_util::sync::CancellationToken;

/// How often it is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);
/// How many sums wait to be written at most; while so many do, further ones are not counted.
const MAX_WAITING_SUMS: usize = 50_000;

/// What keys were used for, not yet written. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct KeyUsage(Arc<Mutex<Sums>>);

/// Requests, refused ones among them, and the last, by key, route and day.
type Sums = HashMap<(KeyId, Arc<str>, chrono::NaiveDate), Sum>;

#[derive(Debug, Clone, Copy)]
struct Sum {
    requests: i64,
    refused: i64,
    last: Timestamp,
}

impl KeyUsage {
    /// Counts a request. `refused`: it was not let through.
    pub fn note(&self, key: &KeyId, route: &Arc<str>, refused: bool, now: Timestamp) {
        let mut sums = self.0.lock();
        let place = (key.clone(), route.clone(), now.to_datetime().date_naive());
        if sums.len() >= MAX_WAITING_SUMS && !sums.contains_key(&place) {
            metrics::counter!("postrider_api_key_usage_lost_total").increment(1);
            return;
        }
        let sum = sums.entry(place).or_insert(Sum { requests: 0, refused: 0, last: now });
        sum.requests += 1;
        sum.refused += i64::from(refused);
        sum.last = sum.last.max(now);
    }

    /// Writes what is counted every few seconds until `stop`, and then once more.
    pub async fn keep(&self, database: &Database, stop: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(WRITE_INTERVAL) => false,
            };
            if let Err(error) = self.write(database).await {
                tracing::warn!(%error, "the usage of API keys can't be written for now");
            }
            if stopping {
                return;
            }
        }
    }

    /// Writes what is counted now. What can't be written is kept.
    pub async fn write(&self, database: &Database) -> Result<(), Error> {
        let sums = mem::take(&mut *self.0.lock());
        if sums.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<UsageRow> = sums.iter().map(row).collect();
        // In one order everywhere, so that two processes never wait for each other.
        rows.sort_unstable_by(|a, b| (&a.key, a.day, &a.route).cmp(&(&b.key, b.day, &b.route)));
        let written = async {
            let mut transaction = database.begin().await?;
            api_key_usage::add(&mut transaction, &rows).await?;
            transaction.commit().await
        };
        written.await.inspect_err(|_| {
            let mut waiting = self.0.lock();
            for (place, sum) in sums {
                let now = waiting.entry(place).or_insert(Sum { requests: 0, refused: 0, last: sum.last });
                now.requests += sum.requests;
                now.refused += sum.refused;
                now.last = now.last.max(sum.last);
            }
        })
    }
}

fn row(((key, route, day), sum): (&(KeyId, Arc<str>, chrono::NaiveDate), &Sum)) -> UsageRow {
    UsageRow {
        key: key.clone(),
        day: *day,
        route: route.to_string(),
        requests: sum.requests,
        refused: sum.refused,
        last: sum.last,
    }
}
