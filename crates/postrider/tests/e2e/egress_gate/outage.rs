//! Three hosts that were reached vanish at the same time, under load, and come back.

use std::net::Ipv4Addr;
use std::time::Duration;

use postrider_kafka::Record;
use postrider_testkit::{Behaviour, Reach, Receiver};
use serde_json::json;

use crate::support::{Context, Deployment, Hook, LIMIT, Ledger, Stream, Tenant, Test, event, long_tests, tests};

pub fn tests() -> Vec<Test> {
    let quick = tests![
        an_endpoint_that_answers_500_fills_its_dead_letter_queue,
        an_outage_of_ten_seconds_dead_letters_nothing,
        without_the_gate_an_outage_fills_the_dead_letter_queue,
    ];
    let long = long_tests![an_outage_of_a_minute_dead_letters_nothing];
    quick.into_iter().chain(long).collect()
}

const HOSTS: u8 = 3;
const PER_SECOND: u32 = 50;
/// Long enough for several attempts of each host to have failed.
const SHORT: Duration = Duration::from_secs(10);
/// How long what waited may take to arrive once the hosts are back.
const RECOVERY: Duration = Duration::from_mins(2);

/// Three hosts, each with an endpoint that gives every event one attempt.
struct Hosts {
    receivers: Vec<Receiver>,
}

impl Hosts {
    async fn start(tenant: &Tenant) -> Self {
        let mut receivers = Vec::new();
        for host in 1..=HOSTS {
            let receiver = Receiver::start_at(Ipv4Addr::new(127, 0, 7, host)).unwrap();
            let once = json!({"timeout_ms": 1_000, "retry": {"delays_seconds": []}});
            Hook::create(tenant, &receiver, "/hook", once).await;
            receivers.push(receiver);
        }
        Self { receivers }
    }

    fn reach(&self, reach: Reach) {
        self.receivers.iter().for_each(|receiver| receiver.reach(reach));
    }
}

async fn start(context: &Context, name: &str, more: &str) -> (Deployment, Tenant, Hosts) {
    let deployment = Deployment::with(context, name, &format!("[egress]\nallow_http = true\n{more}")).await;
    let tenant = deployment.tenant().await;
    let hosts = Hosts::start(&tenant).await;
    deployment.synced().await;
    (deployment, tenant, hosts)
}

/// Writes events until the hosts were away for `length`; answers how many were written.
async fn outage(deployment: &Deployment, tenant: &Tenant, hosts: &Hosts, length: Duration) -> usize {
    let stream = Stream::start(deployment, tenant, PER_SECOND);
    for receiver in &hosts.receivers {
        receiver.wait_for("/hook", 50, LIMIT).await; // connects worked
    }
    hosts.reach(Reach::Blackholed);
    let per_second = usize::try_from(PER_SECOND).unwrap();
    let until = stream.written() + per_second * usize::try_from(length.as_secs()).unwrap();
    stream.reached(until, length * 2 + LIMIT).await;
    hosts.reach(Reach::Open);
    stream.reached(until + per_second, LIMIT).await;
    stream.stop().await
}

async fn nothing_is_dead_lettered(context: &Context, name: &str, length: Duration) {
    let (deployment, tenant, hosts) = start(context, name, "").await;
    let dlq = deployment.read(&deployment.topics.dlq());
    let written = outage(&deployment, &tenant, &hosts, length).await;
    let mut repeated = 0;
    for receiver in &hosts.receivers {
        repeated += Ledger::settle(written, receiver, "/hook", RECOVERY).await.duplicates();
    }
    println!("outage of {length:?}: {written} events to {HOSTS} hosts, 0 lost, {repeated} repeated");
    assert_eq!(dlq.count(), 0, "an outage of our own dead-lettered deliveries");
}

async fn an_outage_of_ten_seconds_dead_letters_nothing(context: Context) {
    nothing_is_dead_lettered(&context, "outage", SHORT).await;
}

async fn an_outage_of_a_minute_dead_letters_nothing(context: Context) {
    nothing_is_dead_lettered(&context, "minute", Duration::from_mins(1)).await;
}

async fn without_the_gate_an_outage_fills_the_dead_letter_queue(context: Context) {
    let (deployment, tenant, hosts) = start(&context, "no-gate", "[dispatcher]\negress_gate = false").await;
    let dlq = deployment.read(&deployment.topics.dlq());
    outage(&deployment, &tenant, &hosts, SHORT).await;
    dlq.wait_for(usize::from(HOSTS), LIMIT, |_| true).await;
}

async fn an_endpoint_that_answers_500_fills_its_dead_letter_queue(context: Context) {
    // Fewer than a breaker wants to see.
    const EVENTS: usize = 8;
    let (deployment, tenant, hosts) = start(&context, "only-500", "").await;
    let receiver = &hosts.receivers[0];
    receiver.behave("/broken", Behaviour::Always(500));
    let once = json!({"event_types": ["broken"], "retry": {"delays_seconds": []}});
    let broken = Hook::create(&tenant, receiver, "/broken", once).await;
    deployment.synced().await;
    // Every other host is away: what answers is our proof of a way out, whatever it answers.
    hosts.receivers[1].reach(Reach::Blackholed);
    hosts.receivers[2].reach(Reach::Blackholed);
    for number in 0..EVENTS {
        deployment.write(&event(&deployment, &tenant, &number.to_string(), "broken", &json!(number))).await;
    }
    let dlq = deployment.read(&deployment.topics.dlq());
    let of_the_broken = |record: &Record| record.key_str() == Some(&broken.id);
    let letters = dlq.wait_for(EVENTS, LIMIT, of_the_broken).await;
    assert_eq!((letters.len(), broken.count()), (EVENTS, EVENTS), "each after its one attempt");
}
