//! Looks single records up by where they stand.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use postrider_domain::SourceCoordinates;
use tokio::time::timeout;

use crate::{CursorEvent, FetchSize, KafkaConfig, PartitionCursor, PartitionReader, Record, StartAt};

/// How long one look-up may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// The most topics whose clients are kept: beyond it those of topics that were not asked for last are closed.
const MAX_READERS: usize = 8;

/// Looks single records up. Clones share its clients, one for each topic; of one topic one record is read at a time.
#[derive(Debug, Clone)]
pub struct RecordFetcher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kafka: KafkaConfig,
    /// The one that was used last stands last.
    readers: Mutex<Vec<(Arc<str>, Reader)>>,
}

type Reader = Arc<tokio::sync::Mutex<PartitionReader>>;

impl RecordFetcher {
    /// Asks these brokers; connects when it is asked.
    pub fn new(kafka: KafkaConfig) -> Self {
        Self(Arc::new(Shared { kafka, readers: Mutex::default() }))
    }

    /// The record that stands there; none if none does (any more). Error: no answer, and why.
    pub async fn fetch(&self, at: &SourceCoordinates) -> Result<Option<Record>, String> {
        let reader = self.reader(&at.topic)?;
        let fetching = async {
            // A second cursor for a partition would end the first.
            let reader = reader.lock().await;
            if at.offset < 0 || !reader.exists(at.partition).await? {
                return Ok(None);
            }
            let mut cursor = reader.open(at.partition, StartAt::Offset(at.offset));
            let (first, next) = cursor.watermarks().await?;
            if !(first..next).contains(&at.offset) {
                return Ok(None);
            }
            read(&mut cursor, at.offset).await
        };
        timeout(FETCH_LIMIT, fetching).await.unwrap_or_else(|_| {
            Err(format!("{}/{} at {} was not read within {FETCH_LIMIT:?}", at.topic, at.partition, at.offset))
        })
    }

    fn reader(&self, topic: &Arc<str>) -> Result<Reader, String> {
        let mut readers = self.0.readers.lock();
        let reader = match readers.iter().position(|(known, _)| known == topic) {
            Some(place) => readers.remove(place).1,
            // Reads what is committed: a source may have transactions.
            None => Arc::new(tokio::sync::Mutex::new(PartitionReader::start_committed(
                &self.0.kafka,
                topic,
                FetchSize::Least,
            )?)),
        };
        readers.push((topic.clone(), reader.clone()));
        if readers.len() > MAX_READERS {
            readers.remove(0);
        }
        Ok(reader)
    }
}

/// The record at `offset`; none if the next one stands behind it.
async fn read(cursor: &mut PartitionCursor, offset: i64) -> Result<Option<Record>, String> {
    match cursor.next().await {
        Some(CursorEvent::Record(record)) => Ok(Some(record).filter(|record| record.offset == offset)),
        Some(CursorEvent::EndOfPartition { .. } | CursorEvent::OutOfRange { .. }) => Ok(None),
        None => Err(format!("the reader of {} ended", cursor.topic())),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{BrokerClock, Headers, Outgoing, Producer, mock::MockBroker};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_is_found_where_it_stands_and_nothing_where_none_does() {
        let broker = MockBroker::start(vec![("t".to_owned(), 2)]).unwrap();
        let kafka = KafkaConfig::embedded(broker.bootstrap_servers(), "test");
        let producer = Producer::new(&kafka, BrokerClock::new(true)).unwrap();
        for number in 0..3_u8 {
            let record = Outgoing {
                topic: "t".into(),
                partition: Some(1),
                key: Bytes::from_static(b"k"),
                value: Some(Bytes::copy_from_slice(&[number])),
                headers: Headers::new(),
            };
            producer.send(&record).await.unwrap();
        }
        let fetcher = RecordFetcher::new(kafka);
        let at = |partition, offset| SourceCoordinates { topic: "t".into(), partition, offset };
        for offset in [2_u8, 0, 1, 1] {
            let found = fetcher.fetch(&at(1, i64::from(offset))).await.unwrap().unwrap();
            assert_eq!((found.offset, found.value.as_deref()), (i64::from(offset), Some(&[offset][..])));
        }
        let elsewhere = SourceCoordinates { topic: "gone".into(), partition: 99, offset: 0 };
        for nowhere in [at(1, 3), at(1, 99), at(0, 0), at(2, 0), at(-1, 0), at(1, -1), elsewhere] {
            assert!(fetcher.fetch(&nowhere).await.unwrap().is_none(), "{nowhere:?}");
        }
    }
}
