//! What the directory's topic holds.

use std::collections::HashMap;

use postrider_domain::{ConfigEntry, ConfigMarker, DirectoryVersion, EntityId};
use postrider_kafka::{AvroRecord, Codec, DecodeError, KafkaConfig, Record, TableEvent, TableReader};

/// The topic, read to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicEnd {
    /// The highest version in it; none if there is none at all.
    pub highest: Option<DirectoryVersion>,
    /// The version of its newest marker; none if it has no marker.
    pub marker: Option<DirectoryVersion>,
}

/// Reads `topic` to its end, however long the brokers are away. Error: it can't be understood.
pub async fn read_to_end(kafka: &KafkaConfig, topic: &str, codec: &Codec) -> Result<TopicEnd, String> {
    let mut reader = TableReader::start(kafka, topic)?;
    let mut end = TopicEnd::default();
    loop {
        match next(&mut reader, topic, codec).await? {
            Some(Read::Entry(entry)) => end.highest = end.highest.max(Some(entry.version)),
            Some(Read::Marker(marker)) => end.mark(marker),
            Some(Read::Tombstone(_)) => {}
            Some(Read::Shrunk) => end = TopicEnd::default(),
            None => return Ok(end),
        }
    }
}

/// The same, with the last entry of each entity.
pub async fn read_entries(
    kafka: &KafkaConfig,
    topic: &str,
    codec: &Codec,
) -> Result<(TopicEnd, HashMap<EntityId, ConfigEntry>), String> {
    let mut reader = TableReader::start(kafka, topic)?;
    let (mut end, mut entries) = (TopicEnd::default(), HashMap::new());
    loop {
        match next(&mut reader, topic, codec).await? {
            Some(Read::Entry(entry)) => {
                end.highest = end.highest.max(Some(entry.version));
                entries.insert(entry.body.key(), *entry);
            }
            Some(Read::Marker(marker)) => end.mark(marker),
            Some(Read::Tombstone(key)) => drop(entries.remove(&key)),
            Some(Read::Shrunk) => (end, entries) = (TopicEnd::default(), HashMap::new()),
            None => return Ok((end, entries)),
        }
    }
}

impl TopicEnd {
    fn mark(&mut self, marker: ConfigMarker) {
        self.highest = self.highest.max(Some(marker.version));
        self.marker = Some(marker.version);
    }
}

/// What a record says.
enum Read {
    Entry(Box<ConfigEntry>),
    Marker(ConfigMarker),
    Tombstone(EntityId),
    /// The topic lost records, and is read again from its beginning.
    Shrunk,
}

/// The next record that can be understood; none at the end.
async fn next(reader: &mut TableReader, topic: &str, codec: &Codec) -> Result<Option<Read>, String> {
    loop {
        match reader.next().await {
            Some(TableEvent::Record(record)) => {
                if let Some(read) = understood(&record, codec).await {
                    return Ok(Some(read));
                }
            }
            Some(TableEvent::EndOfPartition) => return Ok(None),
            Some(TableEvent::Shrunk) => return Ok(Some(Read::Shrunk)),
            None => return Err(format!("the reader of {topic} ended")),
        }
    }
}

async fn understood(record: &Record, codec: &Codec) -> Option<Read> {
    let Some(value) = &record.value else {
        return record.key_str().map(|key| Read::Tombstone(EntityId::from_trusted(key)));
    };
    if record.key_str() == Some(ConfigMarker::KEY) {
        decoded(record, value, codec).await.map(Read::Marker)
    } else {
        decoded(record, value, codec).await.map(|entry| Read::Entry(Box::new(entry)))
    }
}

/// One of a schema that is not known yet waits for it.
async fn decoded<T: AvroRecord>(record: &Record, value: &[u8], codec: &Codec) -> Option<T> {
    loop {
        match codec.decode::<T>(value) {
            Ok(decoded) => return Some(decoded),
            Err(DecodeError::UnknownSchema(fingerprint)) => codec.learned(fingerprint).await,
            Err(DecodeError::Corrupt(why)) => {
                // The directory keeps its last good version of such an entry; here its version is not needed as
                // long as any later record has one.
                tracing::error!(topic = &*record.topic, offset = record.offset, why, "a directory record is corrupt");
                return None;
            }
        }
    }
}
