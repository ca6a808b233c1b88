//! Held deliveries, and ranges of them that ended at once.

use bytes::Bytes;
use postrider_domain::{
    DeliveryEvent, DeliveryEventBody, EndpointId, MessageId, SourceCoordinates, TenantId, Timestamp,
    delivery_event::{Held, HeldRange, HoldReason, RangeReason},
};
use postrider_postgres::delivery_log::{self, DeliveryStatus};

use super::{Fixture, TOPIC, delivered, own, record, until};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// That `msg_<number>` is held at this offset of partition 4 since `at`.
fn held(number: i64, endpoint: &str, offset: i64, at: i64) -> DeliveryEvent {
    DeliveryEvent {
        endpoint: EndpointId::from_trusted(endpoint),
        held: Some(SourceCoordinates { topic: "postrider.held".into(), partition: 4, offset }),
        at: Timestamp::from_millis(at),
        body: DeliveryEventBody::Held(Held { reason: HoldReason::Paused }),
        ..delivered(number)
    }
}

/// That what `endpoint` had in these offsets of partition 4 ended.
fn range(endpoint: &str, from: i64, to: i64, reason: RangeReason, at: i64) -> HeldRange {
    HeldRange {
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted(endpoint),
        partition: 4,
        from,
        to,
        reason,
        count: to - from,
        at: Timestamp::from_millis(at),
    }
}

/// Has the owner of a partition of the log write `values`, which begin at `offset`.
async fn project(fixture: &Fixture, partition: i32, offset: i64, values: Vec<Bytes>) {
    let (feed, task) = own(&fixture.shared, TOPIC, partition);
    for (offset, value) in (offset..).zip(values) {
        feed.send(record(TOPIC, partition, offset, Some(value))).await;
    }
    until("all is settled", || feed.outstanding() == 0).await;
    feed.stopped.cancel();
    task.await.unwrap().unwrap();
}

/// How far `msg_<number>` has come.
async fn status(fixture: &Fixture, number: i64) -> DeliveryStatus {
    let mut conn = fixture.pool.acquire().await.unwrap();
    let message = MessageId::from_trusted(format!("msg_{number}"));
    delivery_log::runs_of(&mut conn, &TenantId::from_trusted("ten_1"), &message).await.unwrap().remove(0).status
}

#[tokio::test]
async fn a_range_ends_what_its_endpoint_has_in_it_and_nothing_else() {
    let fixture = Fixture::new().await;
    let codec = &fixture.codec;
    let left = DeliveryEvent { held: held(4, "ep_1", 13, 0).held, ..delivered(4) };
    let events = [
        held(0, "ep_1", 9, 10),
        held(1, "ep_1", 10, 10),
        held(2, "ep_1", 12, 10),
        held(3, "ep_2", 11, 10),
        held(4, "ep_1", 13, 1),
        left,
        held(5, "ep_1", 14, 10),
        held(6, "ep_3", 20, 10),
    ];
    project(&fixture, 0, 0, events.iter().map(|event| codec.encode(event)).collect()).await;
    let ranges =
        [range("ep_1", 10, 14, RangeReason::Skipped, 20), range("ep_3", 20, 21, RangeReason::EndpointDeleted, 20)];
    project(&fixture, 1, 0, ranges.iter().map(|range| codec.encode(range)).collect()).await;

    let held = DeliveryStatus::Held;
    let (skipped, cancelled) = (DeliveryStatus::Skipped, DeliveryStatus::Cancelled);
    let expected = [held, skipped, skipped, held, DeliveryStatus::Delivered, held, cancelled];
    for (number, expected) in (0..).zip(expected) {
        assert_eq!(status(&fixture, number).await, expected, "msg_{number}");
    }
}

#[tokio::test]
async fn a_held_event_that_comes_after_its_range_ends_too() {
    let fixture = Fixture::new().await;
    let codec = &fixture.codec;
    let ended = range("ep_1", 10, 14, RangeReason::Skipped, 20);
    project(&fixture, 1, 0, vec![codec.encode(&ended)]).await;
    let late = [held(1, "ep_1", 13, 10), held(2, "ep_1", 14, 10), held(3, "ep_2", 13, 10)];
    project(&fixture, 0, 0, late.iter().map(|event| codec.encode(event)).collect()).await;
    assert_eq!(status(&fixture, 1).await, DeliveryStatus::Skipped);
    assert_eq!(status(&fixture, 2).await, DeliveryStatus::Held, "it is behind the range");
    assert_eq!(status(&fixture, 3).await, DeliveryStatus::Held, "it is another endpoint's");

    // The same coordinates in a topic that was made anew since.
    project(&fixture, 0, 3, vec![codec.encode(&held(4, "ep_1", 12, 3_600_000))]).await;
    assert_eq!(status(&fixture, 4).await, DeliveryStatus::Held);
}

#[tokio::test]
async fn an_attempt_that_comes_after_the_range_knows_better() {
    let fixture = Fixture::new().await;
    let codec = &fixture.codec;
    let events =
        vec![codec.encode(&held(1, "ep_1", 10, 1)), codec.encode(&range("ep_1", 5, 14, RangeReason::Skipped, 20))];
    project(&fixture, 0, 0, events).await;
    assert_eq!(status(&fixture, 1).await, DeliveryStatus::Skipped);
    let attempt = DeliveryEvent { held: held(1, "ep_1", 10, 1).held, ..delivered(1) };
    project(&fixture, 0, 2, vec![codec.encode(&attempt)]).await;
    assert_eq!(status(&fixture, 1).await, DeliveryStatus::Delivered);
}

#[tokio::test]
async fn a_range_is_forgotten_after_32_days() {
    let fixture = Fixture::new().await;
    let codec = &fixture.codec;
    let range_at = |days: i64| codec.encode(&range("ep_1", days, days + 1, RangeReason::Skipped, days * DAY_MS));
    project(&fixture, 1, 0, vec![range_at(1), range_at(2)]).await;
    project(&fixture, 1, 2, vec![range_at(34)]).await;
    let late = [held(1, "ep_1", 1, 0), held(2, "ep_1", 2, 0)];
    project(&fixture, 0, 0, late.iter().map(|event| codec.encode(event)).collect()).await;
    assert_eq!(status(&fixture, 1).await, DeliveryStatus::Held, "its range is forgotten");
    assert_eq!(status(&fixture, 2).await, DeliveryStatus::Skipped);
}
