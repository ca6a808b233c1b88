//! An endpoint that is down for a whole run, with very many deliveries behind it.

use std::time::Duration;

use postrider_testkit::{Reach, Receiver, eventually};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Test, long_tests, tests, write_events};

pub fn tests() -> Vec<Test> {
    let quick = tests![two_thousand_behind_an_endpoint_that_is_down_arrive_once_it_is_back];
    let long = long_tests![fifty_thousand_behind_an_endpoint_that_is_down_are_held_once_and_read_once];
    // They measure memory and CPU time.
    quick.into_iter().chain(long.into_iter().map(Test::alone)).collect()
}

/// More memory than the idle process at most.
const MAX_GROWTH: u64 = 64 << 20;
/// CPU time at most, of a core, when nothing is due: percent.
const MAX_IDLE_CPU_PERCENT: u32 = 2;
const IDLE: Duration = Duration::from_secs(30);
/// How soon after its recovery the endpoint has everything.
const RECOVERY: Duration = Duration::from_mins(1);

/// Its partition to itself; connections without TLS, which would cost more than everything else.
const CONFIGURATION: &str = r"
[topics]
partitions = 1
[egress]
allow_http = true
";

/// A deployment whose one endpoint is down.
struct Down {
    deployment: Deployment,
    tenant: crate::support::Tenant,
    receiver: Receiver,
    idle_bytes: u64,
}

impl Down {
    async fn start(context: &Context, name: &str) -> Self {
        let deployment = Deployment::with(context, name, CONFIGURATION).await;
        let tenant = deployment.tenant().await;
        let receiver = Receiver::start().unwrap();
        Hook::create(&tenant, &receiver, "/down", json!({"timeout_ms": 2_000})).await;
        deployment.synced().await;
        let idle_bytes = deployment.resident_bytes();
        receiver.reach(Reach::Refused);
        Self { deployment, tenant, receiver, idle_bytes }
    }

    /// Waits until nothing has been held for a while: what was on its way has come to rest.
    async fn settled(&self, limit: Duration) {
        const QUIET: Duration = Duration::from_secs(5);
        let (mut last, mut since) = (0.0, Instant::now());
        eventually(limit, "appends to held to end", async || {
            let appended = self.deployment.metric("postrider_held_appended_total").await.unwrap_or_default();
            if appended > last {
                (last, since) = (appended, Instant::now());
            }
            (since.elapsed() > QUIET).then_some(())
        })
        .await;
    }

    fn memory_is_bounded(&self, when: &str) {
        let growth = self.deployment.resident_bytes().saturating_sub(self.idle_bytes);
        println!("{when}: {} MiB more than idle", growth >> 20);
        assert!(growth <= MAX_GROWTH, "{when}: {} MiB more than idle", growth >> 20);
    }

    /// The endpoint comes back; answers how long it took until it had everything, and how often something was repeated.
    async fn recover(&self, written: usize) -> (Duration, usize) {
        self.receiver.reach(Reach::Open);
        let begun = Instant::now();
        self.receiver.wait_for("/down", written, RECOVERY + LIMIT).await;
        let ledger = Ledger::settle(written, &self.receiver, "/down", LIMIT).await;
        (begun.elapsed(), ledger.duplicates())
    }
}

async fn two_thousand_behind_an_endpoint_that_is_down_arrive_once_it_is_back(context: Context) {
    const EVENTS: usize = 2_000;
    let down = Down::start(&context, "down").await;
    write_events(&down.deployment, &down.tenant, 0..EVENTS, None).await;
    eventually(LIMIT, "attempts to fail", async || {
        (down.deployment.metric("postrider_attempts_total").await? >= 3.0).then_some(())
    })
    .await;
    down.memory_is_bounded("with 2,000 behind it");
    let (took, repeated) = down.recover(EVENTS).await;
    println!("down: {EVENTS} delivered {took:?} after the recovery, {repeated} repeated");
    assert_eq!(repeated, 0, "nothing was killed");
}

async fn fifty_thousand_behind_an_endpoint_that_is_down_are_held_once_and_read_once(context: Context) {
    const EVENTS: usize = 50_000;
    // What was tried while it was down comes back by a tier, and is held a second time.
    const TRIED: f64 = 500.0;
    let down = Down::start(&context, "down-long").await;
    let metric = async |name: &str| down.deployment.metric(name).await.unwrap_or_default();
    write_events(&down.deployment, &down.tenant, 0..EVENTS, None).await;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let events = EVENTS as f64;
    eventually(Duration::from_mins(5), "everything to be held", async || {
        (metric("postrider_held_appended_total").await >= events - TRIED).then_some(())
    })
    .await;
    down.settled(Duration::from_mins(1)).await;
    down.memory_is_bounded("with 50,000 behind it");

    let before = down.deployment.cpu_time();
    tokio::time::sleep(IDLE).await;
    let used = down.deployment.cpu_time().saturating_sub(before);
    println!("idle with 50,000 held: {used:?} of CPU in {IDLE:?}");
    assert!(used * 100 <= IDLE * MAX_IDLE_CPU_PERCENT, "{used:?} of CPU in {IDLE:?}");

    let (took, repeated) = down.recover(EVENTS).await;
    let (appended, read) = (metric("postrider_held_appended_total").await, metric("postrider_held_read_total").await);
    println!(
        "down: {EVENTS} delivered {took:?} after the recovery; {appended} appended, {read} read, {repeated} repeated"
    );
    assert!(took <= RECOVERY, "{took:?}");
    assert!((appended - events).abs() <= TRIED, "{appended} records for {EVENTS} deliveries");
    assert!(read <= appended + TRIED, "{read} reads of {appended} records");
    assert_eq!(repeated, 0, "nothing was killed");
    down.memory_is_bounded("after the recovery");
}
