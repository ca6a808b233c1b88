//! A steady stream of events, and the ledger that holds what was produced against what was received.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postrider_testkit::{Receiver, Verdict, compare, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Deployment, LIMIT, Tenant, event};

/// Writes events `0`, `1`, … until it is stopped.
pub struct Stream {
    stop: CancellationToken,
    count: Arc<AtomicUsize>,
    written: JoinHandle<Vec<String>>,
}

impl Stream {
    /// Starts to write, so many a second.
    pub fn start(deployment: &Deployment, tenant: &Tenant, per_second: u32) -> Self {
        let (stop, count) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (producer, stopped, so_far) = (deployment.producer(), stop.clone(), Arc::clone(&count));
        let template = event(deployment, tenant, "template", "order.created", &Value::Null);
        let tenant = tenant.id.clone();
        let written = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
            let mut written = Vec::new();
            while stopped.run_until_cancelled(pace.tick()).await.is_some() {
                let id = written.len().to_string();
                let value = json!({"id": id, "type": "order.created", "tenant": tenant, "data": id});
                let mut record = template.clone();
                record.key = id.clone().into();
                record.value = Some(value.to_string().into());
                producer.send(&record).await.unwrap();
                written.push(id);
                so_far.store(written.len(), Ordering::Relaxed);
            }
            written
        });
        Self { stop, count, written }
    }

    /// Waits until what is received follows closely on what is written.
    pub async fn caught_up(&self, receiver: &Receiver, path: &str) {
        eventually(LIMIT, "the deliveries to catch up", async || {
            let written = self.count.load(Ordering::Relaxed);
            (receiver.webhook_ids(path).len() + 10 >= written).then_some(())
        })
        .await;
    }

    /// Stops, and waits until everything that was written has been received at `path`; answers the comparison.
    pub async fn compare(self, receiver: &Receiver, path: &str) -> Ledger {
        self.stop.cancel();
        let written = self.written.await.unwrap();
        let deadline = Instant::now() + LIMIT;
        let verdict = loop {
            let verdict = compare(written.iter(), received(receiver, path));
            if verdict.lost.is_empty() {
                break verdict;
            }
            let lost = verdict.lost.len();
            assert!(Instant::now() < deadline, "{lost} of {} are lost: {:?}", written.len(), verdict.lost);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(verdict.unexpected.is_empty(), "{:?}", verdict.unexpected);
        assert_eq!(receiver.bad_signatures(path), 0);
        Ledger { written: written.len(), verdict }
    }
}

/// What came of a stream.
pub struct Ledger {
    /// Events written.
    pub written: usize,
    /// Against events received.
    pub verdict: Verdict,
}

impl Ledger {
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
