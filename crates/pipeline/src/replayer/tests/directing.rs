//! Pausing, cancelling, killing and slowing jobs.

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider_domain::{
    ErrorClass,
    replay::{DesiredState, ReplayJob, ReplayState},
};

use super::world::{World, millis, moment, redrive};

const PER_SECOND: u32 = 100;

/// A world in which a job is at work on 1,000 entries, at 100 a second.
async fn at_work() -> (World, ReplayJob) {
    let mut world = World::new();
    for number in 0..1_000 {
        world.dead(number, ErrorClass::Timeout);
    }
    world.begin().await;
    let mut job = redrive(1, None, 1_000);
    job.rate_per_second = PER_SECOND;
    world.desire(&job).await;
    millis(2_000).await;
    (world, job)
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_job_is_rejected_with_its_bytes_and_the_others_are_worked_on() {
    let mut world = World::new();
    world.dead(1, ErrorClass::Timeout);
    world.begin().await;
    // The first record of a partition is read by the restore too, a later one is not.
    for garbage in ["first", "later"] {
        world.write_job("job_0", Bytes::copy_from_slice(garbage.as_bytes())).await;
    }
    world.desire(&redrive(1, None, 1)).await;
    millis(1_000).await;
    let rejected = world.sink.acknowledged_for("t.rejected");
    let rejected: Vec<_> = rejected.iter().map(|record| (&*record.key, record.value.as_deref().unwrap())).collect();
    assert_eq!(rejected, [(&b"t.jobs/0/0"[..], &b"first"[..]), (b"t.jobs/0/1", b"later")]);
    assert_eq!((world.told().state, world.sent().len()), (ReplayState::Done, 1));
}

fn distinct(world: &World) -> usize {
    world.sent_ids().into_iter().collect::<BTreeSet<_>>().len()
}

#[tokio::test(start_paused = true)]
async fn a_job_feeds_no_faster_than_its_cap_and_tells_how_it_goes() {
    let (world, _) = at_work().await;
    let sent = world.sent().len();
    assert!((150..=215).contains(&sent), "{sent} in two seconds at {PER_SECOND} a second");
    millis(5_000).await;
    let told = world.told();
    assert!((80.0..120.0).contains(&told.rate), "{}", told.rate);
    assert_eq!(told.seen + told.remaining, 1_000);
    let left = told.seconds_left.unwrap();
    assert!((2..=6).contains(&left), "{left} s left");
    millis(6_000).await;
    assert_eq!((world.told().state, world.sent().len()), (ReplayState::Done, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_paused_job_stops_within_a_second_and_goes_on_where_it_was() {
    let (world, job) = at_work().await;
    world.desire(&ReplayJob { desired: DesiredState::Paused, ..job.clone() }).await;
    millis(980).await;
    let sent = world.sent().len();
    assert_eq!(world.told().state, ReplayState::Paused);
    millis(10_000).await;
    assert_eq!((world.sent().len(), world.told().seen), (sent, i64::try_from(sent).unwrap()));
    world.desire(&job).await;
    millis(10_000).await;
    assert_eq!((world.told().state, world.sent().len(), distinct(&world)), (ReplayState::Done, 1_000, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_stops_within_a_second_for_good_also_where_a_write_hangs() {
    let (world, job) = at_work().await;
    world.sink.hold_topic("t.deliveries", true);
    millis(100).await;
    world.desire(&ReplayJob { desired: DesiredState::Cancelled, ..job.clone() }).await;
    millis(980).await;
    assert_eq!(world.told().state, ReplayState::Cancelled);
    world.sink.hold_topic("t.deliveries", false);
    let sent = world.sent().len();
    world.desire(&job).await;
    millis(5_000).await;
    assert_eq!((world.sent().len(), world.told().state), (sent, ReplayState::Cancelled), "what has ended has ended");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_works_on_is_cancelled_too() {
    let (mut world, job) = at_work().await;
    world.desire(&ReplayJob { desired: DesiredState::Paused, ..job.clone() }).await;
    millis(1_000).await;
    world.revoke().await;
    world.desire(&ReplayJob { desired: DesiredState::Cancelled, ..job }).await;
    let sent = world.sent().len();
    world.begin().await;
    millis(1_000).await;
    assert_eq!((world.told().state, world.sent().len()), (ReplayState::Cancelled, sent));
}

#[tokio::test(start_paused = true)]
async fn a_revoke_is_answered_within_a_second_and_the_next_owner_goes_on() {
    let (mut world, _) = at_work().await;
    let before = tokio::time::Instant::now();
    world.revoke().await;
    assert!(before.elapsed().as_millis() < 1_000, "{:?}", before.elapsed());
    let sent = world.sent().len();
    millis(5_000).await;
    assert_eq!((world.sent().len(), world.told().state), (sent, ReplayState::Running));
    world.begin().await;
    millis(12_000).await;
    assert_eq!((world.told().state, world.sent().len(), distinct(&world)), (ReplayState::Done, 1_000, 1_000));
    assert_eq!(world.told().sent, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_killed_job_goes_on_and_repeats_little_under_the_same_runs() {
    let (mut world, _) = at_work().await;
    // Deliveries that are acknowledged without their marks: what a kill repeats.
    world.sink.hold_topic("t.dlq", true);
    millis(150).await;
    world.kill().await;
    world.sink.hold_topic("t.dlq", false);
    world.begin().await;
    millis(12_000).await;
    let told = world.told();
    assert_eq!((told.state, told.matched, told.sent, distinct(&world)), (ReplayState::Done, 1_000, 1_000, 1_000));
    let repeated = world.sent().len() - 1_000;
    assert!((1..=40).contains(&repeated), "{repeated} repeated");
    let works: BTreeSet<_> = world.sent().into_iter().map(|sent| (sent.message_id, sent.run)).collect();
    assert_eq!(works.len(), 1_000, "a repetition is of the same run");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fed_while_the_dispatchers_are_far_behind() {
    let (world, _) = at_work().await;
    world.lag(10_001);
    millis(1_500).await;
    let sent = world.sent().len();
    millis(20_000).await;
    assert_eq!(world.sent().len(), sent);
    assert!(world.told().message.unwrap().contains("waits for the dispatchers"));
    world.lag(9_000);
    millis(3_000).await;
    assert!(world.sent().len() > sent + 100);
    assert_eq!(world.told().message, None);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_configured_fails_the_job_and_says_so() {
    use postrider_domain::{
        DirectoryVersion, EndpointId, Timestamp,
        replay::{Backfill, ReplaySource},
    };
    let mut world = World::new();
    world.begin().await;
    let backfill = Backfill {
        source: "invoices".to_owned(),
        endpoint: EndpointId::from_trusted("ep_1"),
        subscription: None,
        version: DirectoryVersion::default(),
        since: Timestamp::EPOCH,
        until: None,
        ranges: super::world::ranges(0, 1),
    };
    world.desire(&super::world::job(1, ReplaySource::Backfill(backfill))).await;
    millis(500).await;
    moment().await;
    let told = world.told();
    assert_eq!(told.state, ReplayState::Failed);
    assert!(told.message.unwrap().contains("'invoices'"));
}
