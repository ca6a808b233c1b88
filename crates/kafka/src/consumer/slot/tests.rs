use postrider_domain::{Runs, Timestamp};

use super::*;
use crate::Headers;

const MAX_QUEUED_BYTES: usize = 1_000;

fn record(offset: i64, bytes: usize) -> Record {
    Record {
        topic: "t".into(),
        partition: 0,
        offset,
        timestamp: Timestamp::EPOCH,
        key: None,
        value: Some(vec![0; bytes].into()),
        headers: Headers::new(),
    }
}

fn slot(start: Start, records: usize) -> (Slot, PartitionStream) {
    Slot::new("g", "t".into(), 0, start, QueueLimits { records, bytes: MAX_QUEUED_BYTES }, Instant::now())
}

#[tokio::test]
async fn a_partition_waits_when_its_queue_is_full_by_count_or_by_bytes() {
    for (capacity, bytes, fit) in [(3, 1, 3), (1_000, MAX_QUEUED_BYTES / 4, 3)] {
        let (mut slot, mut stream) = slot(Start::default(), capacity);
        let taken = (0..100).take_while(|offset| slot.take(record(*offset, bytes))).count();
        assert_eq!(taken, fit);
        for _ in 0..=fit {
            stream.next().await.expect("it was taken").token.settle();
            slot.push_surplus();
        }
        assert!(slot.has_ample_room() && slot.is_dirty(Instant::now()));
        let offset = slot.commit(Instant::now()).own.map(|(offset, _)| offset);
        assert_eq!(offset, i64::try_from(fit + 1).ok());
        assert!(!slot.is_dirty(Instant::now()));
        slot.commit_failed();
        assert!(slot.is_dirty(Instant::now()));
    }
}

#[tokio::test]
async fn what_the_last_owner_completed_out_of_order_is_not_handed_to_the_stage() {
    let done: Runs = [11..13, 15..16].into_iter().collect();
    let (mut slot, mut stream) = slot(Start { offset: Some(10), done, ..Start::default() }, 100);
    (10..17).for_each(|offset| assert!(slot.take(record(offset, 1))));
    for expected in [10, 13, 14, 16] {
        let inbound = stream.next().await.unwrap();
        assert_eq!(inbound.record.offset, expected);
        inbound.token.settle();
    }
    assert_eq!(slot.commit(Instant::now()).own, Some((17, "1".to_owned())));
}

#[tokio::test]
async fn a_drain_ends_when_the_stage_is_done_and_nothing_is_in_flight_or_time_is_over() {
    let now = Instant::now();
    let (mut slot, mut stream) = slot(Start::default(), 9);
    assert!(!slot.drained(now));
    slot.take(record(0, 1));
    slot.take(record(1, 1));
    let in_flight = stream.next().await;
    let aborted = stream.aborted();
    slot.stop(now + Duration::from_secs(3));
    assert!(stream.next().await.is_none());
    assert!(!slot.drained(now));
    drop(in_flight);
    assert!(!slot.drained(now), "the stage may still be writing");
    assert!(slot.drained(now + Duration::from_secs(3)) && aborted.is_cancelled());
    drop(stream);
    assert!(slot.drained(now));
}

#[tokio::test]
async fn a_companion_is_committed_when_it_changes_at_each_assignment_and_twice_a_day() {
    let now = Instant::now();
    let (mut slot, stream) = slot(Start { companion: Some(7), ..Start::default() }, 9);
    assert_eq!(stream.companion_start(), Some(7));
    assert!(slot.is_dirty(now));
    let commit = slot.commit(now);
    assert_eq!((commit.own, commit.companion), (None, Some(7)));
    assert!(!slot.is_dirty(now + COMPANION_INTERVAL - Duration::from_secs(1)));
    assert!(slot.is_dirty(now + COMPANION_INTERVAL));
    slot.commit(now + COMPANION_INTERVAL);
    stream.set_companion(9);
    assert!(slot.is_dirty(now + COMPANION_INTERVAL));
    assert_eq!(slot.commit(now).companion, Some(9));
}
