//! Holding: paused, disabled and overwhelmed endpoints, and what becomes of what was held.

use std::time::Duration;

use postrider_domain::{
    ConfigBody, DeliveryEventBody, Endpoint, EntityKind, ErrorClass,
    config_entry::Deleted,
    delivery_event::{HeldRange, HoldReason, RangeReason},
    endpoint_state::DisableReason,
};
use postrider_kafka::{Sink as _, routing_from_headers};

use super::{Bench, DispatcherConfig, answers, endpoint, pass};

pub(super) fn paused(name: &str) -> Endpoint {
    let mut endpoint = endpoint(name, true);
    endpoint.settings.paused = true;
    endpoint
}

/// As it is after it was resumed.
pub(super) fn resumed(name: &str) -> Endpoint {
    Endpoint { enabled_version: 2, ..endpoint(name, true) }
}

fn ranges(bench: &Bench) -> Vec<HeldRange> {
    let written = bench.sink.acknowledged_for(&bench.topics.delivery_events());
    written.iter().filter_map(|record| bench.layout.codec().decode(record.value.as_ref().unwrap()).ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_paused_endpoint_is_held_and_delivered_when_it_is_resumed() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    bench.deliver_many("ep_a", 20).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((bench.courier.hosts().len(), bench.held.len()), (0, 20));
    assert_eq!(bench.held_for(), [HoldReason::Paused; 20]);
    assert_eq!(bench.partition.committable(), Some(20));
    let holding = bench.remembered("ep_a").unwrap().holding.unwrap();
    assert_eq!((holding.position, bench.partition.companion()), (0, Some(0)));
    bench.edit(resumed("ep_a"));
    bench.deliver_many("ep_a", 5).await;
    pass(Duration::from_secs(5)).await;
    let mut messages = bench.courier.messages();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!((messages.len(), bench.courier.hosts().len()), (25, 25));
    assert_eq!(bench.remembered("ep_a"), None, "nothing is left to remember");
    assert_eq!(bench.held.read().records_read(), bench.held.len(), "each was read once");
    assert_eq!(bench.partition.companion(), Some(i64::try_from(bench.held.len()).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_appended_before_the_state_says_so() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    let before = bench.state.len();
    bench.sink.hold(true);
    bench.deliver_many("ep_a", 3).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(bench.sink.handed_over_for(&bench.topics.held()), 0);
    bench.sink.hold(false);
    pass(Duration::from_secs(1)).await;
    assert_eq!((bench.state.len() > before, bench.held.len()), (true, 3));
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_delivers_what_the_one_before_held() {
    let mut bench = Bench::new(vec![paused("ep_a"), endpoint("ep_b", true)]).await;
    bench.deliver_many("ep_a", 10).await;
    pass(Duration::from_secs(1)).await;
    bench.kill().await;
    bench.own().await;
    pass(Duration::from_secs(1)).await;
    bench.edit(resumed("ep_a"));
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.courier.hosts().len(), 10);
    bench.revoke().await;
    bench.own().await;
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.courier.hosts().len(), 10, "nothing is repeated after an orderly end");
}

#[tokio::test(start_paused = true)]
async fn a_kill_while_held_deliveries_are_sent_repeats_only_what_was_in_flight_or_just_done() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    bench.deliver_many("ep_a", 100).await;
    pass(Duration::from_secs(1)).await;
    bench.courier.answer("ep_a.example", Duration::from_millis(50), 200);
    bench.edit(resumed("ep_a"));
    pass(Duration::from_secs(3)).await;
    let before = bench.courier.hosts().len();
    assert!((20..100).contains(&before), "{before} were sent before the kill");
    bench.kill().await;
    bench.own().await;
    pass(Duration::from_secs(10)).await;
    let mut messages = bench.courier.messages();
    let sent = messages.len();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(messages.len(), 100);
    assert!(sent - 100 <= 20, "{} were repeated", sent - 100);
}

#[tokio::test(start_paused = true)]
async fn what_fails_from_the_held_topic_goes_on_in_its_tier() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_secs(1)).await;
    bench.courier.next("ep_a.example", [answers(500)]);
    bench.edit(resumed("ep_a"));
    pass(Duration::from_secs(5)).await;
    let retried = bench.tier("30s").remove(0);
    assert_eq!(routing_from_headers(&retried.headers).unwrap().attempt.get(), 2);
    assert_eq!(bench.remembered("ep_a").and_then(|state| state.holding), None);
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_leaves_out_what_is_older_ends_it_together() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    bench.deliver_many("ep_a", 8).await;
    pass(Duration::from_secs(10)).await;
    let before = bench.sink.clock().now();
    pass(Duration::from_secs(1)).await;
    bench.deliver_many("ep_a", 3).await;
    pass(Duration::from_secs(1)).await;
    let mut endpoint = resumed("ep_a");
    endpoint.settings.skip_before = Some(before);
    bench.edit(endpoint);
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.courier.messages(), ["msg_8", "msg_9", "msg_10"]);
    let ended = ranges(&bench);
    assert_eq!((ended.len(), ended[0].from, ended[0].to, ended[0].count), (1, 0, 8, 8));
    assert_eq!((ended[0].reason, bench.remembered("ep_a")), (RangeReason::Skipped, None));
}

#[tokio::test(start_paused = true)]
async fn what_was_held_for_a_deleted_endpoint_ends_together_and_its_state_is_forgotten() {
    let mut bench = Bench::new(vec![paused("ep_a"), endpoint("ep_b", true)]).await;
    bench.deliver_many("ep_a", 6).await;
    pass(Duration::from_secs(1)).await;
    let at = bench.sink.clock().now();
    let id = postrider_domain::EntityId::from_trusted("ep_a");
    bench.directory.put(9, ConfigBody::Deleted(Deleted { id, entity: EntityKind::Endpoint, at }));
    pass(Duration::from_secs(5)).await;
    let ended = ranges(&bench);
    assert_eq!((ended.len(), ended[0].count, ended[0].reason), (1, 6, RangeReason::EndpointDeleted));
    assert_eq!((bench.courier.hosts().len(), bench.remembered("ep_a")), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_410_disables_until_the_endpoint_is_enabled_anew() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.courier.next("ep_a.example", [answers(410)]);
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_secs(1)).await;
    let disabled = bench.remembered("ep_a").unwrap().disabled.unwrap();
    assert_eq!((disabled.reason, disabled.enabled_version), (DisableReason::Gone, 1));
    assert_eq!(bench.dead_letters()[0].error, ErrorClass::Gone);
    bench.deliver_many("ep_a", 2).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((bench.courier.hosts().len(), bench.held_for()), (1, vec![HoldReason::Disabled; 2]));
    bench.edit(resumed("ep_a"));
    pass(Duration::from_secs(5)).await;
    assert_eq!((bench.courier.hosts().len(), bench.remembered("ep_a")), (3, None));
}

#[tokio::test(start_paused = true)]
async fn a_410_from_before_the_endpoint_was_enabled_anew_does_not_disable_it() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.courier.answer("ep_a.example", Duration::from_secs(5), 410);
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_secs(1)).await;
    bench.edit(resumed("ep_a"));
    pass(Duration::from_secs(6)).await;
    bench.courier.act("ep_a.example", answers(200));
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_secs(3)).await;
    assert_eq!((bench.courier.hosts().len(), bench.held.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn five_days_of_failures_disable_whatever_was_restarted_between() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.courier.act("ep_a.example", answers(400));
    for _ in 0..25 {
        bench.deliver_many("ep_a", 1).await;
        pass(Duration::from_hours(6)).await;
        bench.kill().await;
        bench.own().await;
    }
    let disabled = bench.remembered("ep_a").and_then(|state| state.disabled).expect("it is disabled");
    assert_eq!(disabled.reason, DisableReason::Failing);
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_the_parked_bound_of_a_broken_endpoint_is_held_and_read_once() {
    let config = DispatcherConfig { max_parked_per_endpoint: 10, ..DispatcherConfig::default() };
    let mut bench = Bench::with(vec![endpoint("ep_a", true)], config).await;
    bench.courier.answer("ep_a.example", Duration::from_millis(5), 500);
    bench.deliver_many("ep_a", 20).await;
    pass(Duration::from_secs(10)).await;
    bench.deliver_many("ep_a", 200).await;
    pass(Duration::from_secs(10)).await;
    assert!(bench.held.len() >= 150, "{} held", bench.held.len());
    assert_eq!(bench.partition.committable(), Some(220));
    bench.courier.act("ep_a.example", answers(200));
    pass(Duration::from_mins(1)).await;
    let sent: std::collections::HashSet<String> = bench.courier.messages().into_iter().collect();
    let held = bench.held.len();
    assert!(sent.len() >= held, "{} of {held}", sent.len());
    assert_eq!(bench.held.read().records_read(), held, "each was read once");
    assert_eq!(bench.remembered("ep_a").and_then(|state| state.holding), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_held_for_28_days_is_given_up() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    bench.deliver_many("ep_a", 2).await;
    pass(Duration::from_hours(24 * 10)).await;
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_hours(24 * 19)).await;
    let errors: Vec<ErrorClass> = bench.dead_letters().iter().map(|letter| letter.error).collect();
    assert_eq!(errors, [ErrorClass::HeldExpired; 2]);
    bench.edit(resumed("ep_a"));
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.courier.messages(), ["msg_2"]);
}

#[tokio::test(start_paused = true)]
async fn maintenance_holds_and_ends_by_itself() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    let now = bench.sink.clock().now();
    let mut in_maintenance = endpoint("ep_a", true);
    in_maintenance.settings.maintenance = vec![postrider_domain::endpoint::MaintenanceWindow {
        from: now,
        until: now + Duration::from_mins(10),
        every_seconds: None,
    }];
    bench.edit(in_maintenance);
    bench.deliver_many("ep_a", 2).await;
    pass(Duration::from_mins(9)).await;
    assert_eq!((bench.courier.hosts().len(), bench.held_for()), (0, vec![HoldReason::Maintenance; 2]));
    pass(Duration::from_mins(2)).await;
    assert_eq!(bench.courier.hosts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_held_record_is_rejected_and_the_rest_goes_on() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_secs(1)).await;
    let mut corrupt = bench.sink.acknowledged_for(&bench.topics.held()).remove(0);
    corrupt.value = Some(bytes::Bytes::from_static(b"nonsense"));
    bench.sink.send(corrupt).await.unwrap();
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_secs(1)).await;
    bench.edit(resumed("ep_a"));
    pass(Duration::from_secs(5)).await;
    let rejected = bench.sink.acknowledged_for(&bench.topics.rejected());
    assert_eq!((rejected.len(), bench.courier.hosts().len()), (1, 2));
    assert_eq!(bench.remembered("ep_a"), None);
    let attempted = |body: &DeliveryEventBody| matches!(body, DeliveryEventBody::Attempted(_));
    assert_eq!(bench.events().iter().filter(|event| attempted(&event.body)).count(), 2);
}
