//! Ordered endpoints: per key, first receipts come in order, whatever fails, waits, restarts or is held.

use std::{collections::HashMap, time::Duration};

use postrider_domain::{
    Delivery, DirectoryVersion, Endpoint, MessageId, Routing,
    endpoint::{OnExhausted, Ordering},
    overrides::Override,
};
use postrider_kafka::Sink as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{Act, Bench, DispatcherConfig, answers, endpoint, pass};

const WAIT: Duration = Duration::from_mins(1);

fn ordered(name: &str, delays: &str, on_exhausted: OnExhausted) -> Endpoint {
    let mut endpoint = endpoint(name, true);
    endpoint.retry = serde_json::from_str(&format!(r#"{{"delays_seconds":{delays}}}"#)).unwrap();
    endpoint.settings.ordering = Some(Ordering { on_exhausted });
    endpoint
}

async fn bench(endpoint: Endpoint) -> Bench {
    let config = DispatcherConfig { max_queued_per_lane: 64, ordered_wait: WAIT, ..DispatcherConfig::default() };
    Bench::with(vec![endpoint], config).await
}

/// Delivers `<key><number>` for each, in this order.
async fn deliver(bench: &mut Bench, messages: &[&str]) {
    for message in messages {
        let message_id = MessageId::from_trusted(*message);
        let ordering_key = Some(message[..1].to_owned());
        let delivery = Delivery { message_id, ordering_key, ..bench.delivery("ep_a", 0) };
        let routing = bench.routing();
        bench.deliver_this(&delivery, &routing).await;
    }
}

/// The first receipts of a key, in order.
fn first_receipts(bench: &Bench, key: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for message in bench.courier.messages() {
        if message.starts_with(key) && !seen.contains(&message) {
            seen.push(message);
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn one_delivery_of_a_key_at_a_time_and_other_keys_go_on() {
    let mut bench = bench(ordered("ep_a", "[30]", OnExhausted::Skip)).await;
    bench.courier.answer("ep_a.example", Duration::from_secs(1), 200);
    deliver(&mut bench, &["a1", "a2", "b1"]).await;
    pass(Duration::from_millis(500)).await;
    assert_eq!(bench.courier.messages(), ["a1", "b1"]);
    pass(Duration::from_secs(3)).await;
    assert_eq!(
        (bench.courier.messages(), bench.partition.committable()),
        (vec!["a1".to_owned(), "b1".to_owned(), "a2".to_owned()], Some(3),)
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_head_waits_in_its_lane_and_its_key_with_it() {
    let mut bench = bench(ordered("ep_a", "[30]", OnExhausted::Skip)).await;
    bench.courier.next("ep_a.example", [answers(400)]);
    deliver(&mut bench, &["a1", "a2", "b1"]).await;
    pass(Duration::from_secs(20)).await;
    assert_eq!((bench.courier.messages(), bench.held.len()), (vec!["a1".to_owned(), "b1".to_owned()], 0));
    pass(Duration::from_secs(20)).await;
    assert_eq!(bench.courier.messages(), ["a1", "b1", "a1", "a2"]);
    assert!(bench.tier("30s").is_empty(), "an ordered delivery never goes through a tier");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_waits_for_long_keeps_its_key_in_the_held_topic_and_other_keys_go_on() {
    let mut bench = bench(ordered("ep_a", "[600]", OnExhausted::Skip)).await;
    bench.courier.next("ep_a.example", [answers(400)]);
    deliver(&mut bench, &["a1", "a2", "b1"]).await;
    pass(Duration::from_secs(5)).await;
    deliver(&mut bench, &["a3", "b2"]).await;
    pass(Duration::from_secs(5)).await;
    assert_eq!((first_receipts(&bench, "b"), bench.held.len()), (vec!["b1".to_owned(), "b2".to_owned()], 3));
    assert_eq!(bench.partition.committable(), Some(5), "what waits for long holds nothing up");
    let holding = bench.remembered("ep_a").unwrap().holding.unwrap();
    assert_eq!((holding.whole, holding.blocked[0].key.as_str(), holding.blocked[0].attempt.get()), (false, "a", 2));
    pass(Duration::from_mins(15)).await;
    assert_eq!(first_receipts(&bench, "a"), ["a1", "a2", "a3"]);
    assert_eq!(bench.remembered("ep_a"), None);
    deliver(&mut bench, &["a4"]).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((first_receipts(&bench, "a").len(), bench.held.len()), (4, 3), "the key is in its lane again");
}

#[tokio::test(start_paused = true)]
async fn a_kill_while_a_key_is_blocked_keeps_its_order() {
    let mut bench = bench(ordered("ep_a", "[600]", OnExhausted::Skip)).await;
    bench.courier.next("ep_a.example", [answers(400)]);
    deliver(&mut bench, &["a1", "a2"]).await;
    pass(Duration::from_secs(5)).await;
    bench.kill().await;
    bench.own().await;
    deliver(&mut bench, &["a3", "b1"]).await;
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.courier.messages(), ["a1", "b1"]);
    pass(Duration::from_mins(15)).await;
    assert_eq!(first_receipts(&bench, "a"), ["a1", "a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_exhausted_blocks_its_key_until_somebody_acts() {
    let mut bench = bench(ordered("ep_a", "[]", OnExhausted::Block)).await;
    bench.courier.next("ep_a.example", [answers(400), answers(400)]);
    deliver(&mut bench, &["a1", "a2", "b1"]).await;
    pass(Duration::from_hours(1)).await;
    assert_eq!((bench.courier.messages().len(), bench.dead_letters().len()), (2, 0));
    bench.edit(Endpoint { enabled_version: 2, ..ordered("ep_a", "[]", OnExhausted::Block) });
    pass(Duration::from_secs(10)).await;
    assert_eq!(
        (first_receipts(&bench, "a"), first_receipts(&bench, "b").len()),
        (vec!["a1".to_owned(), "a2".to_owned()], 1,)
    );
    assert_eq!(bench.remembered("ep_a"), None);
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_head_that_blocks_its_key_lets_the_key_go_on() {
    let mut bench = bench(ordered("ep_a", "[]", OnExhausted::Block)).await;
    bench.courier.next("ep_a.example", [answers(400)]);
    deliver(&mut bench, &["a1", "a2"]).await;
    pass(Duration::from_mins(1)).await;
    assert_eq!(bench.courier.messages(), ["a1"]);
    bench.overrides.put(Override {
        message_id: MessageId::from_trusted("a1"),
        run: postrider_domain::Run::LIVE,
        cancelled: true,
        superseded_below: 0,
        until: bench.sink.clock().now() + Duration::from_hours(1),
    });
    pass(Duration::from_secs(10)).await;
    assert_eq!(bench.courier.messages(), ["a1", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_exhausted_is_skipped_if_the_endpoint_says_so() {
    let mut bench = bench(ordered("ep_a", "[]", OnExhausted::Skip)).await;
    bench.courier.next("ep_a.example", [answers(400)]);
    deliver(&mut bench, &["a1", "a2"]).await;
    pass(Duration::from_secs(10)).await;
    assert_eq!((bench.courier.messages(), bench.dead_letters().len()), (vec!["a1".to_owned(), "a2".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn pausing_and_resuming_keeps_the_order() {
    let mut bench = bench(ordered("ep_a", "[30]", OnExhausted::Skip)).await;
    bench.courier.answer("ep_a.example", Duration::from_secs(2), 200);
    deliver(&mut bench, &["a1", "a2", "b1"]).await;
    pass(Duration::from_secs(1)).await;
    let mut paused = ordered("ep_a", "[30]", OnExhausted::Skip);
    paused.settings.paused = true;
    bench.edit(paused);
    deliver(&mut bench, &["a3", "b2"]).await;
    pass(Duration::from_secs(10)).await;
    assert_eq!((bench.courier.messages().len(), bench.held.len()), (2, 3));
    deliver(&mut bench, &["a4"]).await;
    pass(Duration::from_secs(1)).await;
    bench.edit(Endpoint { enabled_version: 2, ..ordered("ep_a", "[30]", OnExhausted::Skip) });
    deliver(&mut bench, &["a5", "b3"]).await;
    pass(Duration::from_mins(2)).await;
    assert_eq!(first_receipts(&bench, "a"), ["a1", "a2", "a3", "a4", "a5"]);
    assert_eq!(first_receipts(&bench, "b"), ["b1", "b2", "b3"]);
    assert_eq!(bench.remembered("ep_a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_without_a_key_waits_for_its_retries_and_for_nothing_else() {
    let mut bench = bench(ordered("ep_a", "[600,600]", OnExhausted::Skip)).await;
    bench.courier.next("ep_a.example", [answers(400), answers(400)]);
    let keyless = Delivery { ordering_key: None, ..bench.delivery("ep_a", 7) };
    let routing = bench.routing();
    bench.deliver_this(&keyless, &routing).await;
    pass(Duration::from_mins(5)).await;
    assert_eq!(bench.courier.messages(), ["msg_7"]);
    pass(Duration::from_mins(7)).await;
    assert_eq!(bench.courier.messages().len(), 2);
    pass(Duration::from_mins(12)).await;
    assert_eq!((bench.courier.messages().len(), bench.remembered("ep_a")), (3, None));
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_tries_a_blocked_key_although_nothing_new_comes() {
    let mut bench = bench(ordered("ep_a", "[600]", OnExhausted::Skip)).await;
    bench.courier.next("ep_a.example", [answers(400)]);
    deliver(&mut bench, &["a1", "a2"]).await;
    pass(Duration::from_secs(5)).await;
    bench.kill().await;
    bench.own().await;
    pass(Duration::from_mins(15)).await;
    assert_eq!((first_receipts(&bench, "a").len(), bench.remembered("ep_a")), (2, None));
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_blocked_go_on_when_their_endpoint_is_not_ordered_any_more() {
    let mut bench = bench(ordered("ep_a", "[6000]", OnExhausted::Skip)).await;
    bench.courier.next("ep_a.example", [answers(400)]);
    deliver(&mut bench, &["a1", "a2"]).await;
    pass(Duration::from_secs(5)).await;
    let mut unordered = ordered("ep_a", "[6000]", OnExhausted::Skip);
    unordered.settings.ordering = None;
    bench.edit(unordered);
    pass(Duration::from_mins(5)).await;
    assert_eq!((first_receipts(&bench, "a").len(), bench.remembered("ep_a")), (2, None));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_everything_blocks_a_bounded_number_of_keys() {
    let mut bench = bench(ordered("ep_a", "[600,600,600,600]", OnExhausted::Skip)).await;
    bench.courier.act("ep_a.example", answers(400));
    let routing = bench.routing();
    for number in 0..400 {
        let delivery = Delivery { ordering_key: Some(format!("k{number}")), ..bench.delivery("ep_a", number) };
        bench.deliver_this(&delivery, &routing).await;
    }
    pass(Duration::from_mins(2)).await;
    let blocked = bench.remembered("ep_a").unwrap().holding.unwrap().blocked.len();
    assert!((100..200).contains(&blocked), "{blocked} keys are blocked");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_directory_is_not_overtaken() {
    let mut bench = bench(ordered("ep_b", "[30]", OnExhausted::Skip)).await;
    let ahead = Routing { version: Some(DirectoryVersion { epoch: 1, seq: 2 }), ..bench.routing() };
    for message in ["a1", "a2"] {
        let message_id = MessageId::from_trusted(message);
        let delivery = Delivery { message_id, ordering_key: Some("a".to_owned()), ..bench.delivery("ep_a", 0) };
        bench.deliver_this(&delivery, &ahead).await;
    }
    pass(Duration::from_secs(7)).await;
    bench.edit(ordered("ep_a", "[30]", OnExhausted::Skip));
    deliver(&mut bench, &["a3"]).await;
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.courier.messages(), ["a1", "a2", "a3"]);
}

/// Random failures, waits short and long, pauses, kills and revokes: per key, first receipts are in order and nothing
/// is missing in the end.
#[tokio::test(start_paused = true)]
async fn whatever_happens_first_receipts_of_a_key_are_in_order() {
    const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bench = bench(ordered("ep_a", "[5,90,20,120,3,3,3,3,3,3,3,3]", OnExhausted::Skip)).await;
        let mut written: HashMap<&str, Vec<String>> = HashMap::new();
        let mut unsettled: Vec<String> = Vec::new();
        let mut version = 1;
        for _ in 0..60 {
            let acts = (0..6).map(|_| Act {
                after: Duration::from_millis(rng.random_range(1..3_000)),
                ..answers(if rng.random_bool(0.3) { 400 } else { 200 })
            });
            bench.courier.next("ep_a.example", acts.collect::<Vec<_>>());
            let key = KEYS[rng.random_range(0..KEYS.len())];
            let message = format!("{key}{:03}", written.get(key).map_or(0, Vec::len));
            written.entry(key).or_default().push(message.clone());
            deliver(&mut bench, &[&message]).await;
            unsettled.push(message);
            pass(Duration::from_millis(rng.random_range(0..2_000))).await;
            match rng.random_range(0..20) {
                0 | 1 => {
                    if rng.random_bool(0.5) {
                        bench.kill().await;
                    } else {
                        bench.revoke().await;
                    }
                    // What was not settled is read again, in its order; some of what was settled just now too.
                    let from = usize::try_from(bench.partition.committable().unwrap_or(0)).unwrap_or(0);
                    let again: Vec<String> = unsettled.iter().skip(from.saturating_sub(2)).cloned().collect();
                    unsettled = again.clone();
                    bench.next_offset = 0;
                    bench.own().await;
                    let again: Vec<&str> = again.iter().map(String::as_str).collect();
                    deliver(&mut bench, &again).await;
                }
                2 => {
                    version += 1;
                    let mut endpoint = ordered("ep_a", "[5,90,20,120,3,3,3,3,3,3,3,3]", OnExhausted::Skip);
                    endpoint.settings.paused = rng.random_bool(0.5);
                    bench.edit(Endpoint { enabled_version: version, ..endpoint });
                }
                _ => {}
            }
        }
        let last = ordered("ep_a", "[5,90,20,120,3,3,3,3,3,3,3,3]", OnExhausted::Skip);
        bench.edit(Endpoint { enabled_version: version + 1, ..last });
        pass(Duration::from_hours(2)).await;
        for (key, messages) in &written {
            assert_eq!(&first_receipts(&bench, key), messages, "seed {seed}, key {key}");
        }
        assert_eq!(bench.remembered("ep_a").and_then(|state| state.holding), None, "seed {seed}");
        bench.kill().await;
    }
}
