//! What is counted, and what the log keeps of it.

use std::num::NonZeroU32;

use postrider_domain::{
    DeliveryEvent, DeliveryEventBody, Timestamp,
    delivery_event::{Held, HoldReason},
    rollup::{Grain, Segment},
    tally::Tally,
};
use postrider_kafka::Readiness;
use postrider_postgres::rollups::{self, EventTypes, Subject};

use super::{Fixture, LogPolicy, TOPIC, delivered, own, record, shared, until};
use crate::upkeep::{Folded, fold};

impl Fixture {
    /// What all deliveries come to.
    async fn counted(&self) -> Tally {
        assert_eq!(fold(&self.pool).await.unwrap(), Folded::All);
        let mut transaction = self.pool.begin().await.unwrap();
        let day = Segment { grain: Grain::Day, from: Timestamp::EPOCH, to: Timestamp::EPOCH + Grain::Day.length() };
        let rows = rollups::read(&mut transaction, Subject::Deployment, EventTypes::Total, day).await.unwrap();
        let mut sum = Tally::default();
        for row in &rows {
            sum.merge(&row.tally);
        }
        sum
    }

    /// Has a projector of this policy write `events`, which begin at `offset`.
    async fn project_with(&self, log: LogPolicy, offset: i64, events: &[DeliveryEvent]) {
        let shared = shared(self.pool.clone(), self.codec.clone(), &Readiness::new(), log);
        let (feed, task) = own(&shared, TOPIC, 0);
        for (offset, event) in (offset..).zip(events) {
            feed.send(record(TOPIC, 0, offset, Some(self.codec.encode(event)))).await;
        }
        until("all is settled", || feed.outstanding() == 0).await;
        feed.stopped.cancel();
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn every_record_is_counted_once_whoever_writes_it() {
    let fixture = Fixture::new().await;
    let (former, _former_task) = fixture.owner();
    former.send(fixture.record(0)).await;
    until("the former owner has begun", || former.outstanding() == 0).await;
    let (owner, _owner_task) = fixture.owner();
    for offset in 1..3 {
        owner.send(fixture.record(offset)).await;
    }
    until("the new owner has begun", || owner.outstanding() == 0).await;
    // The former owner wakes with records of which the new one has written some.
    for offset in 1..7 {
        former.send(fixture.record(offset)).await;
    }
    until("both are done", || former.outstanding() + owner.outstanding() == 0).await;

    let counted = fixture.counted().await;
    assert_eq!((counted.attempts, counted.delivered, counted.latency.count()), (7, 7, 7));
    assert_eq!(fixture.counted().await, counted, "adding up again changes nothing");
}

#[tokio::test]
async fn what_was_delivered_at_once_is_counted_and_not_logged_if_only_failures_are() {
    let fixture = Fixture::new().await;
    let held = DeliveryEvent {
        held: Some(delivered(3).source),
        body: DeliveryEventBody::Held(Held { reason: HoldReason::Paused }),
        ..delivered(3)
    };
    fixture.project_with(LogPolicy::Failures, 0, &[delivered(0), delivered(1), held]).await;
    fixture.project_with(LogPolicy::Failures, 3, &[delivered(2), delivered(3)]).await;

    assert_eq!(fixture.counted().await.delivered, 4);
    // `msg_3` waited first: its row is there, and has to say how it ended.
    assert_eq!(fixture.logged(4).await, 1);
    fixture.project_with(LogPolicy::Sampled(NonZeroU32::MIN), 5, &[delivered(0)]).await;
    assert_eq!(fixture.logged(4).await, 2);
    assert_eq!(fixture.counted().await.delivered, 5);
}
