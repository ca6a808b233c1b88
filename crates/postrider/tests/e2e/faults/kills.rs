//! The process is killed again and again, at random moments, while events flow fast.

use std::collections::BTreeSet;
use std::time::Duration;

use postrider_control::clock;
use postrider_testkit::{Behaviour, Received, Receiver};
use rand::RngExt as _;
use serde_json::json;

use crate::support::{Context, Deployment, Hook, Stream, Test, long_tests};

pub fn tests() -> Vec<Test> {
    long_tests![five_kills_at_500_a_second_lose_nothing_and_repeat_no_more_than_computed]
        .into_iter()
        .map(Test::alone)
        .collect()
}

const PER_SECOND: u32 = 500;
const KILLS: u32 = 5;
/// How long the receiver takes: what is in flight at the dispatcher.
const ANSWER: Duration = Duration::from_millis(10);
/// How long a record takes to the brokers and back: what is in flight at the matcher.
const PRODUCE: Duration = Duration::from_millis(10);
/// Completions are committed this often at the latest, and the commit takes as long as a record.
const COMMIT: Duration = Duration::from_millis(50);

/// What a kill may repeat: for each of the two stages, what was in flight and what was completed since the last commit
/// that was acknowledged.
fn bound() -> usize {
    let dispatcher = ANSWER + PRODUCE + COMMIT + PRODUCE;
    let matcher = PRODUCE + COMMIT + PRODUCE;
    let repeated = (dispatcher + matcher).as_secs_f64() * f64::from(PER_SECOND);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
    let repeated = repeated.ceil() as usize;
    repeated
}

async fn five_kills_at_500_a_second_lose_nothing_and_repeat_no_more_than_computed(context: Context) {
    let mut deployment = Deployment::with(&context, "kills", "[egress]\nallow_http = true").await;
    let tenant = deployment.tenant().await;
    let receiver = Receiver::start().unwrap();
    Hook::create(&tenant, &receiver, "/orders", json!({})).await;
    receiver.behave("/orders", Behaviour::Slow(ANSWER));
    deployment.synced().await;
    let mut rng = clock::rng();
    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    println!("kill  after   written  received  repeated so far");
    for kill in 1..=KILLS {
        // At the pace of the stream: amid the burst that catches up, more is in flight.
        stream.caught_up(&receiver, "/orders").await;
        let moment = Duration::from_millis(rng.random_range(500..4_000));
        tokio::time::sleep(moment).await;
        deployment.kill().await;
        println!(
            "{kill:>4}  {moment:>6.1?}  {:>7}  {:>8}  {:>8}",
            stream.written(),
            distinct(&receiver),
            repeated(&receiver)
        );
        deployment.start_all().await;
    }
    let ledger = stream.compare(&receiver, "/orders").await;
    let bound = bound() * KILLS as usize;
    println!(
        "ledger: {} written, {} lost, {} unexpected, {} repeated (computed: at most {bound})",
        ledger.written,
        ledger.verdict.lost.len(),
        ledger.verdict.unexpected.len(),
        ledger.duplicates(),
    );
    assert!(ledger.duplicates() <= bound, "{KILLS} kills repeated {} deliveries: at most {bound}", ledger.duplicates());
    assert_eq!(distinct(&receiver), ledger.written, "repetitions carry the same webhook-id");
}

fn distinct(receiver: &Receiver) -> usize {
    let received = receiver.received("/orders");
    received.iter().map(Received::webhook_id).collect::<BTreeSet<_>>().len()
}

fn repeated(receiver: &Receiver) -> usize {
    receiver.count("/orders") - distinct(receiver)
}
