//! Many events, at a steady pace or at once, and the ledger that holds what was produced against what was received.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, poll};
use postrider_kafka::{Outgoing, Producer};
use postrider_testkit::{Receiver, Verdict, compare, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Deployment, LIMIT, Tenant, record};

/// Records that are unacknowledged at a time while many are written.
const IN_FLIGHT: usize = 2_000;

/// What events `0`, `1`, … are: their number is id and data, and the key is the number's remainder.
#[derive(Clone)]
struct Events {
    template: Outgoing,
    tenant: String,
    keys: Option<usize>,
}

impl Events {
    fn of(deployment: &Deployment, tenant: &Tenant, keys: Option<usize>) -> Self {
        let template = record(&deployment.topics.events(), "", "", &[]);
        Self { template, tenant: tenant.id.clone(), keys }
    }

    fn record(&self, number: usize) -> Outgoing {
        let (id, key) = (number.to_string(), self.keys.map_or(number, |keys| number % keys));
        let value = json!({"id": id, "type": "order.created", "tenant": self.tenant, "data": id});
        let mut record = self.template.clone();
        record.key = Bytes::from(key.to_string());
        record.value = Some(Bytes::from(value.to_string()));
        record
    }
}

/// Writes the events of these numbers, in order, as fast as the brokers take them. With `keys`, so many keys take turns.
pub async fn write_events(deployment: &Deployment, tenant: &Tenant, numbers: Range<usize>, keys: Option<usize>) {
    let (events, producer) = (Events::of(deployment, tenant, keys), deployment.producer());
    let mut sends = FuturesUnordered::new();
    for number in numbers {
        if sends.len() >= IN_FLIGHT {
            sends.next().await;
        }
        // Asked once at once: records are handed to the client in order.
        let mut send = Box::pin(send(producer.clone(), events.record(number)));
        if poll!(&mut send).is_pending() {
            sends.push(send);
        }
    }
    while sends.next().await.is_some() {}
}

async fn send(producer: Producer, record: Outgoing) {
    producer.send(&record).await.unwrap();
}

/// Writes events `0`, `1`, … until it is stopped.
pub struct Stream {
    stop: CancellationToken,
    count: Arc<AtomicUsize>,
    written: JoinHandle<usize>,
}

impl Stream {
    /// Starts to write, so many a second.
    pub fn start(deployment: &Deployment, tenant: &Tenant, per_second: u32) -> Self {
        Self::start_keyed(deployment, tenant, per_second, None)
    }

    /// The same with so many keys, which take turns.
    pub fn start_keyed(deployment: &Deployment, tenant: &Tenant, per_second: u32, keys: Option<usize>) -> Self {
        let (stop, count) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (producer, events) = (deployment.producer(), Events::of(deployment, tenant, keys));
        let (stopped, so_far) = (stop.clone(), Arc::clone(&count));
        let written = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
            let mut sends = FuturesUnordered::new();
            let mut stopped = pin!(stopped.cancelled());
            loop {
                tokio::select! {
                    () = &mut stopped => break,
                    Some(()) = sends.next() => continue,
                    _ = pace.tick() => {}
                }
                let number = so_far.fetch_add(1, Ordering::Relaxed);
                let mut send = Box::pin(send(producer.clone(), events.record(number)));
                if poll!(&mut send).is_pending() {
                    sends.push(send);
                }
            }
            while sends.next().await.is_some() {}
            so_far.load(Ordering::Relaxed)
        });
        Self { stop, count, written }
    }

    /// How many events were written so far.
    pub fn written(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until so many events were written.
    pub async fn reached(&self, count: usize, limit: Duration) {
        let what = format!("{count} events to be written");
        eventually(limit, &what, async || (self.written() >= count).then_some(())).await;
    }

    /// Waits until what is received follows closely on what is written.
    pub async fn caught_up(&self, receiver: &Receiver, path: &str) {
        eventually(LIMIT, "the deliveries to catch up", async || {
            let written = self.written();
            let maybe = receiver.count(path) + 10 >= written;
            (maybe && receiver.webhook_ids(path).len() + 10 >= written).then_some(())
        })
        .await;
    }

    /// Stops, and answers how many events were written and acknowledged.
    pub async fn stop(self) -> usize {
        self.stop.cancel();
        self.written.await.unwrap()
    }

    /// Stops, and waits until everything that was written has been received at `path`; answers the comparison.
    pub async fn compare(self, receiver: &Receiver, path: &str) -> Ledger {
        let written = self.stop().await;
        Ledger::settle(written, receiver, path, LIMIT).await
    }
}

/// What came of events that were written.
pub struct Ledger {
    /// Events written.
    pub written: usize,
    /// Against events received.
    pub verdict: Verdict,
}

impl Ledger {
    /// Waits until events `0` to `written` have all been received at `path`, and compares.
    pub async fn settle(written: usize, receiver: &Receiver, path: &str, limit: Duration) -> Self {
        let deadline = Instant::now() + limit;
        let expected = || (0..written).map(|number| number.to_string());
        let verdict = loop {
            if receiver.count(path) >= written || Instant::now() > deadline {
                let verdict = compare(expected(), received(receiver, path));
                let lost = verdict.lost.len();
                if lost == 0 {
                    break verdict;
                }
                let first: Vec<&String> = verdict.lost.iter().take(20).collect();
                assert!(Instant::now() < deadline, "{lost} of {written} are lost at {path}: {first:?} …");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(verdict.unexpected.is_empty(), "{:?}", verdict.unexpected);
        assert_eq!(receiver.bad_signatures(path), 0);
        Self { written, verdict }
    }

    /// Deliveries too many.
    pub fn duplicates(&self) -> usize {
        self.verdict.duplicates.values().sum()
    }
}

/// The data of every request at `path`.
pub fn received(receiver: &Receiver, path: &str) -> Vec<String> {
    let data = receiver.received(path).into_iter().map(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        body["data"].as_str().unwrap().to_owned()
    });
    data.collect()
}
