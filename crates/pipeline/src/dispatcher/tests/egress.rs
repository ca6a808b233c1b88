//! The egress gate: nothing is given up because of our own way out.

use std::time::Duration;

use postrider_domain::{
    DeliveryEventBody, Endpoint,
    delivery_event::{AfterAttempt, ParkReason},
};
use postrider_kafka::routing_from_headers;

use super::{Bench, DispatcherConfig, REFUSES, answers, endpoint, pass};

/// An endpoint whose deliveries are tried once.
fn once(name: &str) -> Endpoint {
    Endpoint { retry: serde_json::from_str(r#"{"delays_seconds":[]}"#).unwrap(), ..endpoint(name, true) }
}

const HOSTS: [&str; 3] = ["ep_a", "ep_b", "ep_c"];

async fn bench(egress_gate: bool) -> Bench {
    let config = DispatcherConfig { egress_gate, ..DispatcherConfig::default() };
    let bench = Bench::with(HOSTS.map(once).into(), config).await;
    for host in HOSTS {
        bench.courier.act(&format!("{host}.example"), REFUSES);
    }
    bench
}

#[tokio::test(start_paused = true)]
async fn what_fails_on_all_hosts_at_once_is_parked_not_given_up() {
    let mut bench = bench(true).await;
    for host in HOSTS {
        bench.deliver(host, bench.routing()).await;
    }
    pass(Duration::from_secs(12)).await;
    assert_eq!(bench.dead_letters().len(), 0);
    let parked = bench.tier("30s");
    let attempts: Vec<u32> =
        parked.iter().map(|record| routing_from_headers(&record.headers).unwrap().attempt.get()).collect();
    assert_eq!((attempts, bench.partition.committable()), (vec![1, 1, 1], Some(3)));
    let parked = |event: &postrider_domain::DeliveryEvent| matches!(&event.body, DeliveryEventBody::Attempted(attempted) if attempted.next == AfterAttempt::Parked);
    assert_eq!(bench.events().iter().filter(|event| parked(event)).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_the_gate_is_shut_one_probe_a_second_goes_and_the_rest_waits_aside() {
    let mut bench = bench(true).await;
    for round in 0..2 {
        for host in HOSTS {
            bench.deliver_many(host, 1 + 8 * round).await;
        }
        pass(Duration::from_millis(100)).await;
    }
    let before = bench.courier.hosts().len();
    pass(Duration::from_secs(5)).await;
    let probes = bench.courier.hosts().len() - before;
    assert!((3..=6).contains(&probes), "{probes} probes in 5 s");
    for host in HOSTS {
        bench.deliver(host, bench.routing()).await;
    }
    pass(Duration::from_secs(3)).await;
    assert!(bench.parked().contains(&ParkReason::LaneFull));
    for host in HOSTS {
        bench.courier.act(&format!("{host}.example"), answers(200));
    }
    pass(Duration::from_secs(5)).await;
    assert_eq!((bench.dead_letters().len(), bench.partition.committable()), (0, Some(33)));
}

#[tokio::test(start_paused = true)]
async fn without_the_gate_the_same_is_given_up_at_once() {
    let mut bench = bench(false).await;
    for host in HOSTS {
        bench.deliver(host, bench.routing()).await;
    }
    pass(Duration::from_secs(1)).await;
    assert_eq!(bench.dead_letters().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_dead_host_is_given_up_once_another_has_answered_since_or_after_10_seconds() {
    let mut bench = bench(true).await;
    bench.courier.act("ep_b.example", answers(200));
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_secs(2)).await;
    assert_eq!((bench.dead_letters().len(), bench.partition.committable()), (0, Some(0)));
    bench.deliver("ep_b", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    assert_eq!((bench.dead_letters().len(), bench.partition.committable()), (1, Some(2)));
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_secs(9)).await;
    assert_eq!(bench.dead_letters().len(), 1);
    pass(Duration::from_secs(2)).await;
    assert_eq!(bench.dead_letters().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_answers_500_fills_the_dead_letter_queue() {
    let mut bench = bench(true).await;
    bench.courier.act("ep_a.example", answers(500));
    bench.deliver_many("ep_a", 5).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(bench.dead_letters().len(), 5);
}
