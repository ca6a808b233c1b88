//! A reader on the in-process broker.

use std::time::Duration;

use super::{CursorEvent, PartitionCursor, PartitionReader, StartAt};
use crate::{BrokerClock, FetchSize, Headers, KafkaConfig, Outgoing, Producer, mock::MockBroker};

const PATIENCE: Duration = Duration::from_secs(20);
const TOPIC: &str = "held";

struct Here {
    _broker: MockBroker,
    producer: Producer,
    reader: PartitionReader,
}

impl Here {
    fn start(partitions: i32) -> Self {
        let broker = MockBroker::start(vec![(TOPIC.to_owned(), partitions)]).unwrap();
        let kafka = KafkaConfig::embedded(broker.bootstrap_servers(), "test");
        let producer = Producer::new(&kafka, BrokerClock::new(true)).unwrap();
        let reader = PartitionReader::start(&kafka, TOPIC, FetchSize::Small).unwrap();
        Self { _broker: broker, producer, reader }
    }

    async fn append(&self, partition: i32, count: usize, bytes: usize) {
        let record = Outgoing {
            topic: TOPIC.into(),
            partition: Some(partition),
            key: "k".into(),
            value: Some(vec![b'x'; bytes].into()),
            headers: Headers::new(),
        };
        let sent = (0..count).map(|_| self.producer.send(&record));
        for ack in futures::future::join_all(sent).await {
            ack.unwrap();
        }
    }
}

async fn next(cursor: &mut PartitionCursor) -> CursorEvent {
    tokio::time::timeout(PATIENCE, cursor.next()).await.expect("something comes in time").expect("it is not closed")
}

/// The offsets up to the next end, and where that is.
async fn to_the_end(cursor: &mut PartitionCursor) -> (Vec<i64>, i64) {
    let mut offsets = Vec::new();
    loop {
        match next(cursor).await {
            CursorEvent::Record(record) => offsets.push(record.offset),
            CursorEvent::EndOfPartition { next_offset } => return (offsets, next_offset),
            CursorEvent::OutOfRange { .. } => panic!("nothing was deleted"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_partitions_are_read_past_what_fits_the_queue_and_their_ends_are_told() {
    let here = Here::start(3);
    for partition in 0..2 {
        here.append(partition, 1_500, 1_000).await;
    }
    let mut cursors: Vec<_> = (0..3).map(|partition| here.reader.open(partition, StartAt::Beginning)).collect();
    // Nobody takes anything from the first for now: the second goes on all the same.
    let all: Vec<i64> = (0..1_500).collect();
    assert_eq!(to_the_end(&mut cursors[1]).await, (all.clone(), 1_500));
    assert_eq!(to_the_end(&mut cursors[0]).await, (all, 1_500));
    assert_eq!(to_the_end(&mut cursors[2]).await, (vec![], 0));
    here.append(2, 2, 1).await;
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(to_the_end(&mut cursors[2]).await.0);
    }
    assert_eq!(found, [0, 1]);
    assert_eq!(cursors[0].watermarks().await, Ok((0, 1_500)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_set_back_and_forth_and_nothing_older_comes_after() {
    let here = Here::start(1);
    here.append(0, 1_000, 100).await;
    let mut cursor = here.reader.open(0, StartAt::Offset(500));
    for position in [10, 900, 0, 995, 400] {
        assert!(matches!(next(&mut cursor).await, CursorEvent::Record(_)));
        cursor.seek(position);
        for offset in position..(position + 5) {
            let event = next(&mut cursor).await;
            assert!(matches!(&event, CursorEvent::Record(record) if record.offset == offset), "{offset}: {event:?}");
        }
        if position == 995 {
            assert!(matches!(next(&mut cursor).await, CursorEvent::EndOfPartition { next_offset: 1_000 }));
            cursor.seek(0);
        }
    }
    // Twice without a turn between them: the last counts.
    cursor.seek(3);
    cursor.seek(998);
    assert_eq!(to_the_end(&mut cursor).await, (vec![998, 999], 1_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_stops_reading_and_the_end_is_told_again_after_it() {
    let here = Here::start(1);
    here.append(0, 3, 1).await;
    let mut cursor = here.reader.open(0, StartAt::End);
    assert_eq!(to_the_end(&mut cursor).await, (vec![], 3));
    cursor.pause();
    cursor.resume();
    assert_eq!(to_the_end(&mut cursor).await, (vec![], 3));
    cursor.pause();
    here.append(0, 1, 1).await;
    tokio::time::timeout(Duration::from_millis(300), cursor.next()).await.expect_err("it is paused");
    cursor.resume();
    assert_eq!(to_the_end(&mut cursor).await, (vec![3], 4));
    let mut second = here.reader.open(0, StartAt::Beginning);
    assert_eq!(to_the_end(&mut second).await, (vec![0, 1, 2, 3], 4));
    assert!(cursor.next().await.is_none(), "a partition has one cursor");
    drop(cursor);
    second.seek(1);
    assert_eq!(to_the_end(&mut second).await, (vec![1, 2, 3], 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_out_of_range_goes_on_at_the_earliest() {
    let here = Here::start(1);
    here.append(0, 3, 1).await;
    let mut cursor = here.reader.open(0, StartAt::Offset(77));
    assert!(matches!(next(&mut cursor).await, CursorEvent::OutOfRange { resumed_at: 0 }));
    assert_eq!(to_the_end(&mut cursor).await, (vec![0, 1, 2], 3));
}
