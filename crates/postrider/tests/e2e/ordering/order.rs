//! The order of first receipts, under random failures, restarts, kills and rebalances.

use std::time::Duration;

use postrider_testkit::{Behaviour, Received, Receiver, disorders};
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Stream, Tenant, Test, long_tests, tests};

pub fn tests() -> Vec<Test> {
    let quick = tests![the_order_of_a_key_survives_failures_a_restart_and_a_kill];
    let long = long_tests![the_order_of_a_hundred_keys_is_never_broken];
    quick.into_iter().chain(long).collect()
}

/// Of a hundred requests, so many fail.
const FAILING_PERCENT: u32 = 5;

/// An ordered endpoint whose receiver fails here and there.
struct Ordered {
    deployment: Deployment,
    tenant: Tenant,
    receiver: Receiver,
    keys: usize,
}

impl Ordered {
    async fn start(context: &Context, name: &str, keys: usize) -> Self {
        let deployment = Deployment::with(context, name, "[egress]\nallow_http = true").await;
        let tenant = deployment.tenant().await;
        let receiver = Receiver::start().unwrap();
        // Enough tries that none is exhausted.
        let ordered = json!({"ordering": {"on_exhausted": "block"}, "retry": {"delays_seconds": [1, 1, 1, 1, 1, 1]}});
        Hook::create(&tenant, &receiver, "/ordered", ordered).await;
        receiver.behave("/ordered", Behaviour::Flaky(FAILING_PERCENT, 500));
        deployment.synced().await;
        Self { deployment, tenant, receiver, keys }
    }

    async fn restart(&mut self) {
        self.deployment.terminate().await;
        self.deployment.start_all().await;
    }

    /// A kill while keys are blocked: for a moment, nothing succeeds.
    async fn kill_while_blocked(&mut self) {
        self.receiver.behave("/ordered", Behaviour::Always(503));
        let failed = self.receiver.count("/ordered") + self.keys / 2;
        self.receiver.wait_for("/ordered", failed, LIMIT).await;
        self.deployment.kill().await;
        self.receiver.behave("/ordered", Behaviour::Flaky(FAILING_PERCENT, 500));
        self.deployment.start_all().await;
    }

    async fn rebalance(&mut self) {
        let mut second = self.deployment.serve(&["--roles", "api,matcher,dispatcher,retrier"]);
        second.ready().await;
        let received = self.receiver.count("/ordered");
        self.receiver.wait_for("/ordered", received + self.keys, LIMIT).await;
        assert!(second.terminate().await.success());
    }

    /// Everything arrives, and each key's in order: what came first, and what was taken (2xx) first.
    async fn in_order(&self, written: usize, limit: Duration) {
        self.receiver.wait_for("/ordered", written, limit).await;
        taken_in_full(&self.receiver, written, limit).await;
        let ledger = Ledger::settle(written, &self.receiver, "/ordered", limit).await;
        let received = self.receiver.received("/ordered");
        let failed = received.iter().filter(|request| request.answered != Some(200)).count();
        let repeated = ledger.duplicates() - failed.min(ledger.duplicates());
        println!("ordered: {written} events of {} keys, {failed} failures, {repeated} repeated", self.keys);
        assert_eq!(disorders(received.iter().map(|request| self.place(request))), [], "order of first receipts");
        let taken = received.iter().filter(|request| request.answered == Some(200));
        assert_eq!(disorders(taken.map(|request| self.place(request))), [], "order of first successes");
        assert!(failed > 0, "nothing failed: this tested nothing");
    }

    /// The key and the number of what was received.
    fn place(&self, request: &Received) -> (String, u64) {
        let number = number(request);
        (format!("key {}", number % self.keys), number as u64)
    }
}

fn number(request: &Received) -> usize {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["data"].as_str().unwrap().parse().unwrap()
}

/// Waits until each of `written` events was answered with 200.
async fn taken_in_full(receiver: &Receiver, written: usize, limit: Duration) {
    const PAUSE: Duration = Duration::from_millis(500);
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let received = receiver.received("/ordered");
        let taken = received.iter().filter(|request| request.answered == Some(200)).map(number);
        let taken: std::collections::BTreeSet<usize> = taken.collect();
        if taken.len() == written {
            return;
        }
        let missing: Vec<usize> = (0..written).filter(|number| !taken.contains(number)).take(20).collect();
        assert!(tokio::time::Instant::now() < deadline, "never taken: {missing:?} …");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn the_order_of_a_key_survives_failures_a_restart_and_a_kill(context: Context) {
    const KEYS: usize = 20;
    const EVENTS: usize = 1_000;
    let mut ordered = Ordered::start(&context, "order", KEYS).await;
    let stream = Stream::start_keyed(&ordered.deployment, &ordered.tenant, 60, Some(KEYS));
    stream.reached(EVENTS / 4, LIMIT).await;
    ordered.restart().await;
    stream.reached(EVENTS / 2, LIMIT).await;
    ordered.kill_while_blocked().await;
    stream.reached(EVENTS, LIMIT).await;
    let written = stream.stop().await;
    ordered.in_order(written, LIMIT * 2).await;
}

async fn the_order_of_a_hundred_keys_is_never_broken(context: Context) {
    const KEYS: usize = 100;
    const EVENTS: usize = 10_000;
    const LONG: Duration = Duration::from_mins(5);
    let mut ordered = Ordered::start(&context, "order-long", KEYS).await;
    let stream = Stream::start_keyed(&ordered.deployment, &ordered.tenant, 100, Some(KEYS));
    for part in 1..=6 {
        stream.reached(EVENTS * part / 7, LONG).await;
        match part % 3 {
            0 => ordered.rebalance().await,
            1 => ordered.restart().await,
            _ => ordered.kill_while_blocked().await,
        }
    }
    stream.reached(EVENTS, LONG).await;
    let written = stream.stop().await;
    ordered.in_order(written, LONG).await;
}
