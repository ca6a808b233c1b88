//! Sending, parking and settling.

use std::time::Duration;

use bytes::Bytes;
use postrider_domain::{
    Attempt, Delivery, DeliveryEventBody, DeliveryKind, DirectoryVersion, ErrorClass, Routing,
    delivery::Header,
    delivery_event::{AfterAttempt, CancelReason, ParkReason},
    endpoint::{CustomHeader, purpose},
    masking::MASK,
    overrides::Override,
    seal::SealedAt,
};
use postrider_kafka::{Sink as _, routing_from_headers};

use rand::{SeedableRng, rngs::StdRng};

use super::{Act, Bench, DispatcherConfig, answers, endpoint, keys, pass};

#[tokio::test(start_paused = true)]
async fn a_success_is_signed_logged_and_settled() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    let sent = bench.courier.sent.lock().clone();
    let names: Vec<&str> = sent[0].headers.iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(
        (sent.len(), names),
        (1, vec!["webhook-id", "webhook-timestamp", "webhook-signature", "webhook-attempt"])
    );
    let events = bench.events();
    let DeliveryEventBody::Attempted(attempted) = &events[0].body else { panic!("{events:?}") };
    assert_eq!((attempted.next, attempted.status), (AfterAttempt::Delivered, Some(200)));
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_answered_is_logged_without_what_is_secret() {
    let mut owner = endpoint("ep_a", true);
    let at = SealedAt { tenant: &owner.tenant, entity: &(&owner.id).into(), purpose: purpose::HEADER, version: 1 };
    let value = keys().seal(b"tok-12345678", at, &mut StdRng::seed_from_u64(4));
    owner.settings.headers = vec![CustomHeader { name: "X-Team".to_owned(), value }];
    let mut bench = Bench::new(vec![owner]).await;
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    let events = bench.events();
    let DeliveryEventBody::Attempted(attempted) = &events[0].body else { panic!("{events:?}") };
    let value = |headers: &[Header], name: &str| headers.iter().find(|it| it.name == name).map(|it| it.value.clone());
    let sent = &attempted.request_headers;
    assert_eq!(value(sent, "x-team").as_deref(), Some(MASK));
    assert_eq!(value(sent, "webhook-id").as_deref(), Some("msg_0"));
    assert_eq!(value(sent, "content-type").as_deref(), Some("application/json"));
    assert_eq!((value(sent, "host").as_deref(), value(sent, "accept").as_deref()), (Some("ep_a.example"), Some("*/*")));
    assert!(value(sent, "user-agent").unwrap().starts_with("Postrider/"));
    assert!(value(sent, "webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(value(&attempted.response_headers, "x-echo").unwrap(), format!("not {MASK}"));
    assert_eq!(attempted.phases.unwrap().wait_us, Some(7));
    assert_eq!(
        bench.courier.sent.lock()[0].headers.iter().find(|(name, _)| name == "x-team").unwrap().1,
        "tok-12345678"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_settled_before_its_event_is_acknowledged() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.sink.hold(true);
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (1, Some(0)));
    bench.sink.hold(false);
    pass(Duration::from_millis(100)).await;
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_log_stops_sending_within_the_bound() {
    let mut bench = Bench::new((0..20).map(|n| endpoint(&format!("ep_{n}"), true)).collect()).await;
    bench.sink.hold(true);
    for round in 0..4 {
        for n in 0..20 {
            bench.deliver(&format!("ep_{n}"), bench.routing()).await;
        }
        pass(Duration::from_millis(100 + round)).await;
    }
    // Half of sixteen may be in doubt, and what was in flight when the bound was reached is one a lane at most.
    assert!(bench.courier.hosts().len() <= 28, "{}", bench.courier.hosts().len());
    bench.sink.hold(false);
    pass(Duration::from_secs(5)).await;
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (80, Some(80)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_goes_to_its_tier_with_the_next_attempt_and_the_value_untouched() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.courier.answer("ep_a.example", Duration::from_millis(5), 500);
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    let retried = bench.tier("30s").remove(0);
    let routing = routing_from_headers(&retried.headers).unwrap();
    assert_eq!((routing.attempt.get(), routing.first_attempt_at.is_some()), (2, true));
    let delivery: Delivery = bench.layout.codec().decode(&retried.value.unwrap()).unwrap();
    assert_eq!(delivery.message_id.as_str(), "msg_0");
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_goes_to_the_dead_letter_queue() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.courier.answer("ep_a.example", Duration::from_millis(5), 503);
    let routing = Routing { attempt: Attempt::FIRST.next(), ..bench.routing() };
    bench.deliver("ep_a", routing).await;
    pass(Duration::from_millis(100)).await;
    let letter = bench.dead_letters().remove(0);
    assert_eq!((letter.attempts, letter.error, letter.last_status), (2, ErrorClass::HttpServerError, Some(503)));
    assert_eq!(letter.response_excerpt.as_deref(), Some("body"));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_endpoint_parks_what_follows_and_its_neighbour_goes_on() {
    let mut bench = Bench::new(vec![endpoint("ep_slow", true), endpoint("ep_fast", true)]).await;
    bench.courier.answer("ep_slow.example", Duration::from_secs(50), 200);
    bench.deliver("ep_slow", bench.routing()).await;
    bench.deliver("ep_slow", bench.routing()).await;
    pass(Duration::from_secs(3)).await;
    bench.deliver("ep_slow", bench.routing()).await;
    bench.deliver("ep_fast", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    assert_eq!(bench.courier.hosts(), ["ep_slow.example", "ep_fast.example"]);
    assert_eq!(bench.parked(), [ParkReason::LaneFull]);
    let parked = bench.tier("30s").remove(0);
    assert_eq!(routing_from_headers(&parked.headers).unwrap().attempt, Attempt::FIRST);
}

#[tokio::test(start_paused = true)]
async fn what_fits_no_lane_of_a_fast_endpoint_waits_and_is_sent() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    for _ in 0..40 {
        bench.deliver("ep_a", bench.routing()).await;
    }
    pass(Duration::from_secs(2)).await;
    assert_eq!((bench.courier.hosts().len(), bench.parked().len()), (40, 0));
    assert_eq!(bench.partition.committable(), Some(40));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_endpoint_waits_for_the_directory_then_parks() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    let ahead = Routing { version: Some(DirectoryVersion { epoch: 1, seq: 99 }), ..bench.routing() };
    bench.deliver("ep_new", ahead).await;
    pass(Duration::from_secs(4)).await;
    assert_eq!(bench.parked(), []);
    pass(Duration::from_secs(2)).await;
    assert_eq!(bench.parked(), [ParkReason::DirectoryBehind]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_far_too_early_is_parked_again_until_the_same_time() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    let at = bench.sink.clock().now() + Duration::from_mins(10);
    let due = postrider_domain::delivery::NotBefore { at, whole_delay: Duration::from_mins(10) };
    bench.deliver("ep_a", Routing { not_before: Some(due), ..bench.routing() }).await;
    pass(Duration::from_millis(100)).await;
    assert_eq!(bench.parked(), [ParkReason::NotDue]);
    let parked = bench.tier("5m").remove(0);
    assert_eq!(routing_from_headers(&parked.headers).unwrap().not_before, Some(due));
}

#[tokio::test(start_paused = true)]
async fn corrupt_bytes_are_rejected_and_the_partition_goes_on() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.send(Bytes::from_static(b"nonsense"), postrider_kafka::Headers::new()).await;
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    let rejected = bench.sink.acknowledged_for(&bench.topics.rejected());
    assert_eq!(rejected[0].value.as_deref(), Some(&b"nonsense"[..]));
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (1, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_revoke_drains_what_is_in_flight_and_leaves_the_rest_unsettled() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.courier.answer("ep_a.example", Duration::from_millis(500), 200);
    for _ in 0..3 {
        bench.deliver("ep_a", bench.routing()).await;
    }
    pass(Duration::from_millis(100)).await;
    bench.partition.stopped.cancel();
    assert!(bench.running.await.unwrap().is_ok());
    assert_eq!((bench.courier.sent.lock().len(), bench.partition.committable()), (1, Some(1)));
    assert_eq!(bench.partition.outstanding(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_waited_for_the_directory_and_meets_a_full_lane_is_not_lost() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    let ahead = Routing { version: Some(DirectoryVersion { epoch: 1, seq: 2 }), ..bench.routing() };
    bench.deliver("ep_new", ahead.clone()).await;
    bench.deliver("ep_new", ahead).await;
    bench.courier.answer("ep_new.example", Duration::from_millis(100), 200);
    pass(Duration::from_millis(200)).await;
    bench.edit(endpoint("ep_new", true));
    bench.deliver_many("ep_new", 12).await;
    pass(Duration::from_secs(4)).await;
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (14, Some(14)));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_leaves_three_quarters_of_a_shared_connections_streams_to_its_neighbours() {
    let mut bench = Bench::with(vec![endpoint("ep_a", true)], DispatcherConfig::default()).await;
    for (limit, in_flight) in [(Some(20), 5), (None, 16)] {
        *bench.courier.max_streams.lock() = limit;
        bench.courier.act("ep_a.example", answers(200));
        bench.deliver("ep_a", bench.routing()).await;
        pass(Duration::from_millis(100)).await;
        let before = bench.courier.hosts().len();
        bench.courier.answer("ep_a.example", Duration::from_secs(1), 200);
        bench.deliver_many("ep_a", 20).await;
        pass(Duration::from_millis(100)).await;
        assert_eq!(bench.courier.hosts().len() - before, in_flight, "{limit:?}");
        pass(Duration::from_secs(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_asks_for_a_rest_gets_it_for_its_whole_lane() {
    let config = DispatcherConfig { lane_concurrency: 1, ..DispatcherConfig::default() };
    let mut bench = Bench::with(vec![endpoint("ep_a", true)], config).await;
    let slow_down = Act { retry_after: Some(Duration::from_secs(20)), ..answers(429) };
    bench.courier.next("ep_a.example", [slow_down]);
    bench.deliver_many("ep_a", 2).await;
    pass(Duration::from_secs(19)).await;
    assert_eq!(bench.courier.hosts().len(), 1, "the second did not wait");
    pass(Duration::from_secs(2)).await;
    assert_eq!(bench.courier.hosts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_spreads_what_is_sent() {
    let mut limited = endpoint("ep_a", true);
    limited.settings.rate_limit = serde_json::from_str(r#"{"per_second": 2, "burst": 1}"#).unwrap();
    let mut bench = Bench::with(vec![limited], DispatcherConfig::default()).await;
    bench.deliver_many("ep_a", 10).await;
    pass(Duration::from_millis(1_100)).await;
    assert_eq!(bench.courier.hosts().len(), 3);
    pass(Duration::from_millis(3_600)).await;
    assert_eq!((bench.courier.hosts().len(), bench.parked().len()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_parks_without_spending_an_attempt() {
    let mut bench = Bench::with(vec![endpoint("ep_a", true)], DispatcherConfig::default()).await;
    bench.courier.answer("ep_a.example", Duration::from_millis(5), 500);
    bench.deliver_many("ep_a", 40).await;
    pass(Duration::from_secs(30)).await;
    let tried = bench.courier.hosts().len();
    assert!((10..30).contains(&tried), "{tried} were tried");
    assert!(bench.parked().iter().all(|reason| *reason == ParkReason::BreakerOpen));
    assert_eq!(bench.parked().len() + tried, 40);
    let first = bench
        .tier("30s")
        .iter()
        .filter(|record| routing_from_headers(&record.headers).unwrap().attempt == Attempt::FIRST)
        .count();
    assert_eq!(first, bench.parked().len());
    assert_eq!(bench.partition.committable(), Some(40), "what waits for a broken endpoint holds nothing up");
}

#[tokio::test(start_paused = true)]
async fn a_test_is_sent_once_even_to_a_disabled_endpoint_and_leaves_no_trace() {
    let mut bench = Bench::new(vec![endpoint("ep_a", false)]).await;
    bench.courier.answer("ep_a.example", Duration::from_millis(5), 500);
    let test = Delivery { kind: DeliveryKind::Test, ..bench.delivery("ep_a", 0) };
    let routing = Routing { version: None, ..bench.routing() };
    bench.deliver_this(&test, &routing).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((bench.courier.hosts().len(), bench.partition.committable()), (1, Some(1)));
    let events = bench.events();
    let DeliveryEventBody::Attempted(attempted) = &events[0].body else { panic!("{events:?}") };
    assert_eq!((events[0].kind, attempted.status), (DeliveryKind::Test, Some(500)));
    assert!(bench.dead_letters().is_empty() && bench.tier("30s").is_empty() && bench.remembered("ep_a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_test_for_an_endpoint_that_stays_unknown_ends_after_30_seconds() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    let test = Delivery { kind: DeliveryKind::Test, ..bench.delivery("ep_b", 0) };
    let routing = Routing { version: None, ..bench.routing() };
    bench.deliver_this(&test, &routing).await;
    pass(Duration::from_secs(29)).await;
    assert!(bench.events().is_empty());
    pass(Duration::from_secs(2)).await;
    let events = bench.events();
    let DeliveryEventBody::DeadLettered(ended) = &events[0].body else { panic!("{events:?}") };
    assert_eq!((ended.error, bench.dead_letters().len()), (ErrorClass::EndpointUnknown, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_or_sent_ahead_ends_where_it_is_met() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    let until = bench.sink.clock().now() + Duration::from_hours(1);
    let order = |message: i64, cancelled, superseded_below| Override {
        message_id: bench.delivery("ep_a", message).message_id,
        run: postrider_domain::Run::LIVE,
        cancelled,
        superseded_below,
        until,
    };
    bench.overrides.put(order(0, true, 0));
    bench.overrides.put(order(1, false, 1));
    let routing = bench.routing();
    for (message, generation) in [(0, 0), (1, 0), (1, 1), (2, 0)] {
        let delivery = bench.delivery("ep_a", message);
        bench.deliver_this(&delivery, &Routing { generation, ..routing.clone() }).await;
    }
    pass(Duration::from_secs(1)).await;
    assert_eq!(bench.courier.messages(), ["msg_1", "msg_2"]);
    let cancelled: Vec<CancelReason> = bench
        .events()
        .into_iter()
        .filter_map(|event| match event.body {
            DeliveryEventBody::Cancelled(cancelled) => Some(cancelled.reason),
            _ => None,
        })
        .collect();
    assert_eq!((cancelled, bench.partition.committable()), (vec![CancelReason::Requested], Some(4)));
}
