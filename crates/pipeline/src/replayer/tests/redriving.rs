//! Redriving dead letters.

use bytes::Bytes;
use postrider_domain::{
    Attempt, EndpointId, ErrorClass, JobId, MessageId, Run, Timestamp,
    replay::{DeadLetterMark, Mark, ReplayJob, ReplayState, run_of},
};
use postrider_kafka::{Headers, routing_from_headers};

use super::world::{ENDPOINT, World, letter, millis, redrive};

fn purged(number: usize) -> DeadLetterMark {
    DeadLetterMark {
        message_id: MessageId::from_trusted(format!("msg_{number}")),
        run: Run::LIVE,
        endpoint: EndpointId::from_trusted(ENDPOINT),
        mark: Mark::Purged,
        job: None,
        at: Timestamp::EPOCH,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_and_not_marked_is_delivered_anew() {
    let mut world = World::new();
    world.dead(1, ErrorClass::Timeout);
    world.dead(2, ErrorClass::HttpServerError);
    let third = world.dead(3, ErrorClass::Timeout);
    world.dead(4, ErrorClass::Timeout);
    // Beyond the job's end, and yet known before it begins.
    world.append_dlq(&purged(1));
    world.begin().await;
    let job = redrive(1, Some(ErrorClass::Timeout), 4);
    world.desire(&job).await;
    millis(1_000).await;
    let sent = world.sent();
    assert_eq!(world.sent_ids(), ["msg_3", "msg_4"]);
    assert_eq!(sent[0].run, run_of(&job.id, 0, third));
    let routing = routing_from_headers(&world.sink.acknowledged_for("t.deliveries")[0].headers).unwrap();
    assert_eq!((routing.attempt, routing.first_attempt_at, routing.not_before), (Attempt::FIRST, None, None));
    let marks = world.marks();
    assert!(marks.iter().all(|mark| mark.run == Run::LIVE && mark.job.as_ref() == Some(&job.id)), "{marks:?}");
    let told = world.told();
    assert_eq!((told.state, told.seen, told.matched, told.sent, told.remaining), (ReplayState::Done, 4, 2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_second_identical_redrive_finds_nothing() {
    let mut world = World::new();
    for number in 0..20 {
        world.dead(number, ErrorClass::Timeout);
    }
    world.begin().await;
    world.desire(&redrive(1, None, 20)).await;
    millis(1_000).await;
    world.revoke().await;
    assert_eq!(world.sent().len(), 20);
    world.begin().await;
    world.desire(&redrive(2, None, 20)).await;
    millis(1_000).await;
    let told = world.told();
    assert_eq!((told.job, told.state, told.matched), (JobId::from_trusted("job_2"), ReplayState::Done, 0));
    assert_eq!(world.sent().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_is_behind_the_frozen_end_and_not_redriven_by_the_same_job() {
    let mut world = World::new();
    world.dead(1, ErrorClass::Timeout);
    world.lag(1_000_000);
    world.begin().await;
    let job = redrive(1, None, 1);
    world.desire(&job).await;
    // It fails again while the job is still at it.
    let mut again = letter(1, ErrorClass::Timeout);
    again.delivery.run = run_of(&job.id, 0, 0);
    world.append_dlq(&again);
    world.lag(0);
    millis(3_000).await;
    assert_eq!((world.sent().len(), world.told().state), (1, ReplayState::Done));
    // A later job may: it is an entry of its own.
    world.revoke().await;
    world.begin().await;
    world.desire(&redrive(2, None, 2)).await;
    millis(1_000).await;
    assert_eq!(world.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_marked_and_passed_only_once_its_delivery_is_acknowledged() {
    let mut world = World::new();
    for number in 0..3 {
        world.dead(number, ErrorClass::Timeout);
    }
    world.sink.hold_topic("t.deliveries", true);
    world.begin().await;
    world.desire(&redrive(1, None, 3)).await;
    millis(1_000).await;
    let told = world.told();
    assert_eq!((world.marks().len(), told.next[&0], told.seen, told.sent), (0, 0, 0, 0));
    world.sink.hold_topic("t.dlq", true);
    world.sink.hold_topic("t.deliveries", false);
    millis(1_000).await;
    assert_eq!((world.sent().len(), world.told().next[&0]), (3, 0), "the marks are awaited too");
    world.sink.hold_topic("t.dlq", false);
    millis(1_000).await;
    assert_eq!((world.marks().len(), world.told().next[&0], world.told().state), (3, 3, ReplayState::Done));
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_its_body_is_counted_and_left() {
    let mut world = World::new();
    let mut bodyless = letter(1, ErrorClass::PayloadTooLarge);
    bodyless.delivery.body = Bytes::new();
    world.append_dlq(&bodyless);
    world.dead(2, ErrorClass::Timeout);
    world.begin().await;
    world.desire(&redrive(1, None, 2)).await;
    millis(1_000).await;
    let told = world.told();
    assert_eq!((told.matched, told.sent, told.unavailable), (2, 1, 1));
    assert_eq!(world.marks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_entry_is_rejected_with_its_bytes_and_the_rest_goes_on() {
    for dry_run in [false, true] {
        let mut world = World::new();
        world.dead(1, ErrorClass::Timeout);
        world.logs.append("t.dlq", ENDPOINT, Bytes::from_static(b"nonsense"), Headers::new());
        world.dead(2, ErrorClass::Timeout);
        world.begin().await;
        world.desire(&ReplayJob { dry_run, ..redrive(1, None, 3) }).await;
        millis(1_000).await;
        let told = world.told();
        assert_eq!((told.state, told.seen, told.matched), (ReplayState::Done, 3, 2));
        let rejected = world.sink.acknowledged_for("t.rejected");
        let rejected: Vec<_> = rejected.iter().map(|record| (&*record.key, record.value.as_deref())).collect();
        let (sent, expected) =
            if dry_run { (0, vec![]) } else { (2, vec![(&b"t.dlq/0/1"[..], Some(&b"nonsense"[..]))]) };
        assert_eq!((told.sent, rejected), (sent, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_and_shows_and_writes_nothing_else() {
    let mut world = World::new();
    for number in 0..30 {
        world.dead(number, if number % 2 == 0 { ErrorClass::Timeout } else { ErrorClass::Tls });
    }
    // Written twice by a dispatcher that died in between.
    world.dead(0, ErrorClass::Timeout);
    world.begin().await;
    let mut job = redrive(1, Some(ErrorClass::Timeout), 31);
    job.dry_run = true;
    world.desire(&job).await;
    millis(1_000).await;
    let told = world.told();
    assert_eq!((told.state, told.seen, told.matched, told.sent, told.sample.len()), (ReplayState::Done, 31, 15, 0, 10));
    assert!(told.sample[0].contains(r#""message_id":"msg_0""#), "{}", told.sample[0]);
    assert!(world.sink.acknowledged().iter().all(|record| &*record.topic == "t.progress"));
    world.desire(&redrive(2, Some(ErrorClass::Timeout), 31)).await;
    millis(1_000).await;
    assert_eq!(world.sent().len(), 15, "as many as the dry run said");
}
