//! Deliveries that end otherwise than by an answer: no topic takes them, or their endpoint is gone.

use std::time::Duration;

use bytes::Bytes;
use postrider_domain::{
    Attempt, ConfigBody, Delivery, DeliveryEventBody, EntityId, EntityKind, ErrorClass, Routing, config_entry::Deleted,
    delivery_event::CancelReason,
};
use postrider_kafka::Sink as _;

use super::{Bench, answers, endpoint, holding::paused, holding::resumed, pass};

fn delete(bench: &Bench, endpoint: &str) {
    let deleted =
        Deleted { id: EntityId::from_trusted(endpoint), entity: EntityKind::Endpoint, at: bench.sink.clock().now() };
    bench.directory.put(9, ConfigBody::Deleted(deleted));
}

fn cancelled(bench: &Bench) -> Vec<CancelReason> {
    let reason = |body| if let DeliveryEventBody::Cancelled(cancelled) = body { Some(cancelled.reason) } else { None };
    bench.events().into_iter().filter_map(|event| reason(event.body)).collect()
}

/// For each dead letter its class, attempts and whether it has its body; and how many events say so.
fn buried(bench: &Bench) -> (Vec<(ErrorClass, i32, bool)>, usize) {
    let letters = bench.dead_letters().into_iter();
    let letters = letters.map(|letter| (letter.error, letter.attempts, !letter.delivery.body.is_empty())).collect();
    let told = bench.events().into_iter().filter(|event| matches!(event.body, DeliveryEventBody::DeadLettered(_)));
    (letters, told.count())
}

#[tokio::test(start_paused = true)]
async fn a_deleted_endpoints_delivery_is_cancelled() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.deliver("ep_gone", bench.routing()).await;
    pass(Duration::from_millis(100)).await;
    assert_eq!((cancelled(&bench), bench.partition.committable()), (vec![CancelReason::EndpointDeleted], Some(1)));
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_lane_of_an_endpoint_that_is_deleted_is_cancelled() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.courier.answer("ep_a.example", Duration::from_secs(1), 200);
    bench.deliver_many("ep_a", 3).await;
    pass(Duration::from_millis(100)).await;
    delete(&bench, "ep_a");
    pass(Duration::from_secs(2)).await;
    assert_eq!(bench.courier.messages(), ["msg_0"], "what is under way is let go on");
    assert_eq!((cancelled(&bench), bench.partition.committable()), (vec![CancelReason::EndpointDeleted; 2], Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_its_tier_refuses_is_dead_lettered_with_the_attempts_that_were_made() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.sink.refuse_from("t.retry.30s", 1);
    bench.courier.act("ep_a.example", answers(500));
    bench.deliver("ep_a", bench.routing()).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(buried(&bench), (vec![(ErrorClass::PayloadTooLarge, 1, false)], 1));
    assert_eq!(bench.partition.committable(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_the_held_topic_refuses_is_dead_lettered_and_the_endpoint_goes_on() {
    let mut bench = Bench::new(vec![paused("ep_a")]).await;
    bench.sink.refuse_from(&bench.topics.held(), 1);
    bench.deliver_many("ep_a", 2).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(buried(&bench), (vec![(ErrorClass::PayloadTooLarge, 0, false); 2], 2));
    assert_eq!((bench.held.len(), bench.partition.committable()), (0, Some(2)));
    bench.edit(resumed("ep_a"));
    bench.deliver_many("ep_a", 1).await;
    pass(Duration::from_secs(5)).await;
    assert_eq!((bench.courier.messages(), bench.remembered("ep_a")), (vec!["msg_2".to_owned()], None));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_refused_is_written_without_its_body() {
    let mut bench = Bench::new(vec![endpoint("ep_a", true)]).await;
    bench.sink.refuse_from(&bench.topics.dlq(), 4_096);
    bench.courier.act("ep_a.example", answers(500));
    let large = Delivery { body: Bytes::from(vec![b'1'; 4_096]), ..bench.delivery("ep_a", 0) };
    bench.deliver_this(&large, &Routing { attempt: Attempt::FIRST.next(), ..bench.routing() }).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(buried(&bench), (vec![(ErrorClass::HttpServerError, 2, false)], 0));
    assert_eq!(bench.partition.committable(), Some(1));
}
