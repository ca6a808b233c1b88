//! What the directory's topic holds, as far as the relay has to know.

use postrider_domain::{ConfigEntry, ConfigMarker, DirectoryVersion};
use postrider_kafka::{Codec, DecodeError, KafkaConfig, Record, TableEvent, TableReader};

/// The topic, read to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicEnd {
    /// The highest version in it; none if there is none at all.
    pub highest: Option<DirectoryVersion>,
    /// Whether it has a marker.
    pub has_marker: bool,
}

/// Reads `topic` to its end, however long the brokers are away. Error: it can't be understood.
pub async fn read_to_end(kafka: &KafkaConfig, topic: &str, codec: &Codec) -> Result<TopicEnd, String> {
    let mut reader = TableReader::start(kafka, topic)?;
    let mut end = TopicEnd::default();
    loop {
        match reader.next().await {
            Some(TableEvent::Record(record)) => take(&mut end, &record, codec).await?,
            Some(TableEvent::EndOfPartition) => return Ok(end),
            Some(TableEvent::Shrunk) => end = TopicEnd::default(),
            None => return Err(format!("the reader of {topic} ended")),
        }
    }
}

/// Takes a record into account. One of a schema that is not known yet waits for it.
async fn take(end: &mut TopicEnd, record: &Record, codec: &Codec) -> Result<(), String> {
    let Some(value) = &record.value else { return Ok(()) };
    let is_marker = record.key_str() == Some(ConfigMarker::KEY);
    let version = loop {
        let version = if is_marker {
            codec.decode::<ConfigMarker>(value).map(|marker| marker.version)
        } else {
            codec.decode::<ConfigEntry>(value).map(|entry| entry.version)
        };
        match version {
            Ok(version) => break version,
            Err(DecodeError::UnknownSchema(fingerprint)) => codec.learned(fingerprint).await,
            Err(DecodeError::Corrupt(why)) => {
                // The directory keeps its last good version of such an entry; here its version is not needed as
                // long as any later record has one.
                tracing::error!(topic = &*record.topic, offset = record.offset, why, "a directory record is corrupt");
                return Ok(());
            }
        }
    };
    end.highest = end.highest.max(Some(version));
    end.has_marker |= is_marker;
    Ok(())
}
