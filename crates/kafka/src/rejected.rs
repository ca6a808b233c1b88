//! The rejected topic: what could not be understood, with its bytes, so that nothing is lost.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::Timestamp;

use crate::{Headers, Outgoing, ProduceError, Record, Sink};

/// Bytes of a rejected record that are kept.
const MAX_KEPT_BYTES: usize = 900 * 1024;
/// Characters of the words that say why: they may quote what was found.
const MAX_MESSAGE_CHARS: usize = 1_000;

const REASON: &str = "pr-reason";
const MESSAGE: &str = "pr-message";
const TOPIC: &str = "pr-source-topic";
const PARTITION: &str = "pr-source-partition";
const OFFSET: &str = "pr-source-offset";
const TRUNCATED: &str = "pr-truncated";
const TIMESTAMP: &str = "pr-source-timestamp";
const KEY: &str = "pr-source-key";
const SOURCE: &str = "pr-source-name";

/// Why a record is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// It is not of its source's format.
    Undecodable,
    /// It has no event type, or one that is not allowed.
    EventType,
    /// It has no tenant, or a malformed one.
    Tenant,
    /// Its data does not fit the schema of its type, which rejects what does not.
    Schema,
    /// It is larger than an event may be.
    TooLarge,
    /// An internal record whose bytes are not what its schema says.
    Corrupt,
}

impl RejectReason {
    /// Its stable name, as in headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::EventType => "event_type",
            Self::Tenant => "tenant",
            Self::Schema => "schema",
            Self::TooLarge => "too_large",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Writes `record` to the rejected topic with the reason and its coordinates, and counts it. The caller
/// settles it afterwards. Errors as [`Sink::send`]; a record too large for the topic is written without
/// its bytes, and without its own headers if it is too large even so.
pub async fn reject(
    sink: &impl Sink,
    topic: &str,
    record: &Record,
    reason: RejectReason,
    message: &str,
) -> Result<(), ProduceError> {
    reject_of(sink, topic, record, None, reason, message).await
}

/// As [`reject`], of what the source of this name reads: another source may read the same topic and understand it.
pub async fn reject_of_source(
    sink: &impl Sink,
    topic: &str,
    record: &Record,
    source: &str,
    reason: RejectReason,
    message: &str,
) -> Result<(), ProduceError> {
    reject_of(sink, topic, record, Some(source), reason, message).await
}

async fn reject_of(
    sink: &impl Sink,
    topic: &str,
    record: &Record,
    source: Option<&str>,
    reason: RejectReason,
    message: &str,
) -> Result<(), ProduceError> {
    let message: &str = &message.chars().take(MAX_MESSAGE_CHARS).collect::<String>();
    metrics::counter!("postrider_rejected_total", "topic" => record.topic.to_string(), "reason" => reason.as_str())
        .increment(1);
    tracing::warn!(
        topic = &*record.topic,
        partition = record.partition,
        offset = record.offset,
        reason = reason.as_str(),
        message,
        "a record was rejected"
    );
    let whole = describe(topic, record, source, reason, message);
    for smaller in [whole.clone(), Outgoing { value: None, ..whole }] {
        match sink.send(smaller).await {
            Err(ProduceError::TooLarge { .. }) => {}
            other => return other.map(drop),
        }
    }
    let coordinates = Record { value: None, key: None, headers: Headers::new(), ..record.clone() };
    let without_headers = describe(topic, &coordinates, source, reason, message);
    sink.send(Outgoing { value: None, ..without_headers }).await.map(drop)
}

/// A record of the rejected topic, as it was before it was rejected.
#[derive(Debug, Clone)]
pub struct RejectedRecord {
    /// The record.
    pub original: Record,
    /// The source that it was read for; none of internal records, and of those that earlier versions rejected.
    pub source: Option<String>,
    /// Why it was rejected.
    pub reason: String,
    /// Whether its bytes were cut.
    pub truncated: bool,
}

impl RejectedRecord {
    /// Reads what [`reject`] wrote; none if it is something else.
    pub fn read(record: &Record) -> Option<Self> {
        // Ours stand in front: the record's own may have the same names.
        let mut headers = record.headers.iter().peekable();
        let mut own = |name: &str| {
            let value = headers.next_if(|(found, _)| *found == name)?.1;
            std::str::from_utf8(value).ok().map(str::to_owned)
        };
        let reason = own(REASON)?;
        own(MESSAGE)?;
        let (topic, partition, offset) = (own(TOPIC)?, own(PARTITION)?.parse().ok()?, own(OFFSET)?.parse().ok()?);
        let truncated = own(TRUNCATED).is_some();
        // Earlier versions did not keep them.
        let timestamp = own(TIMESTAMP).and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis);
        let key = headers.next_if(|(found, _)| *found == KEY).map(|(_, key)| Bytes::copy_from_slice(key));
        let source =
            headers.next_if(|(found, _)| *found == SOURCE).map(|(_, name)| String::from_utf8_lossy(name).into());
        let mut original = Headers::new();
        for (name, value) in headers {
            original.push(name, Bytes::copy_from_slice(value));
        }
        let original = Record {
            topic: topic.into(),
            partition,
            offset,
            timestamp: timestamp.unwrap_or(record.timestamp),
            key,
            value: record.value.clone(),
            headers: original,
        };
        // Too large for the topic even when cut: nothing of it is there.
        let truncated = truncated || original.value.is_none();
        Some(Self { original, source, reason, truncated })
    }
}

fn describe(topic: &str, record: &Record, source: Option<&str>, reason: RejectReason, message: &str) -> Outgoing {
    let value = record.value.clone().unwrap_or_default();
    let kept_key = record.key.as_ref().filter(|key| key.len() <= MAX_KEPT_BYTES);
    let truncated = value.len() > MAX_KEPT_BYTES || kept_key.is_none() && record.key.is_some();
    let mut headers = Headers::new();
    headers.push(REASON, Bytes::from_static(reason.as_str().as_bytes()));
    headers.push(MESSAGE, Bytes::copy_from_slice(message.as_bytes()));
    headers.push(TOPIC, Bytes::copy_from_slice(record.topic.as_bytes()));
    headers.push(PARTITION, Bytes::from(record.partition.to_string()));
    headers.push(OFFSET, Bytes::from(record.offset.to_string()));
    if truncated {
        headers.push(TRUNCATED, Bytes::from_static(b"true"));
    }
    headers.push(TIMESTAMP, Bytes::from(record.timestamp.as_millis().to_string()));
    if let Some(key) = kept_key {
        headers.push(KEY, key.clone());
    }
    if let Some(source) = source {
        headers.push(SOURCE, Bytes::copy_from_slice(source.as_bytes()));
    }
    for (name, value) in record.headers.iter() {
        headers.push(name, Bytes::copy_from_slice(value));
    }
    Outgoing {
        topic: Arc::from(topic),
        partition: None,
        key: Bytes::from(format!("{}/{}/{}", record.topic, record.partition, record.offset)),
        value: Some(value.slice(..value.len().min(MAX_KEPT_BYTES))),
        headers,
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::{Ack, BrokerClock};

    fn record(value: usize) -> Record {
        let mut headers = Headers::new();
        headers.push("pr-source-topic", "not ours");
        headers.push("ce_type", "a.b");
        Record {
            topic: "orders".into(),
            partition: 3,
            offset: 17,
            timestamp: Timestamp::from_millis(5),
            key: Some(Bytes::from_static(b"k\xff")),
            value: Some(vec![b'x'; value].into()),
            headers,
        }
    }

    fn as_read(outgoing: Outgoing) -> Record {
        let Outgoing { topic, value, headers, .. } = outgoing;
        Record { topic, partition: 0, offset: 0, timestamp: Timestamp::from_millis(9), key: None, value, headers }
    }

    #[test]
    fn what_is_rejected_is_read_back_with_its_own_headers() {
        let record = record(10);
        for source in [None, Some("shop")] {
            let rejected = as_read(describe("rejected", &record, source, RejectReason::Tenant, "no tenant"));
            let read = RejectedRecord::read(&rejected).unwrap();
            assert_eq!((read.reason.as_str(), read.source.as_deref(), read.truncated), ("tenant", source, false));
            assert_eq!(read.original.coordinates(), record.coordinates());
            assert_eq!((&read.original.value, &read.original.headers), (&record.value, &record.headers));
            assert_eq!((&read.original.key, read.original.timestamp), (&record.key, record.timestamp));
        }
        assert!(RejectedRecord::read(&record).is_none());
    }

    /// Takes records of up to so many bytes, and keeps them.
    #[derive(Clone)]
    struct Small(usize, Arc<Mutex<Vec<Outgoing>>>);

    impl Sink for Small {
        async fn send(&self, record: Outgoing) -> Result<Ack, ProduceError> {
            let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            if headers + record.value.as_ref().map_or(0, Bytes::len) > self.0 {
                return Err(ProduceError::TooLarge { topic: record.topic.to_string(), reason: "too large".to_owned() });
            }
            self.1.lock().push(record);
            Ok(Ack { partition: 0, offset: 0, timestamp: Timestamp::EPOCH })
        }

        fn clock(&self) -> BrokerClock {
            BrokerClock::new(true)
        }
    }

    #[tokio::test]
    async fn of_what_is_too_large_for_the_topic_as_much_is_kept_as_it_takes() {
        for (room, (has_value, has_headers)) in [(2_000, (true, true)), (900, (false, true)), (300, (false, false))] {
            let mut record = record(1_000);
            record.headers.push("long", vec![b'x'; 500]);
            let sink = Small(room, Arc::default());
            reject(&sink, "rejected", &record, RejectReason::Corrupt, "why").await.unwrap();
            let written = sink.1.lock().pop().unwrap();
            assert_eq!((written.value.is_some(), written.headers.get("long").is_some()), (has_value, has_headers));
            let read = RejectedRecord::read(&as_read(written)).unwrap();
            assert_eq!((read.original.coordinates(), read.truncated), (record.coordinates(), !has_value), "{room}");
        }
    }

    #[tokio::test]
    async fn a_long_reason_is_cut() {
        let sink = Small(usize::MAX, Arc::default());
        reject(&sink, "rejected", &record(1), RejectReason::Undecodable, &"é".repeat(1 << 20)).await.unwrap();
        let written = sink.1.lock().pop().unwrap();
        assert_eq!(written.headers.get_str(MESSAGE).map(|words| words.chars().count()), Some(1_000));
    }

    #[test]
    fn what_an_earlier_version_rejected_is_read_too() {
        let mut headers = Headers::new();
        for (name, value) in [(REASON, "tenant"), (MESSAGE, "why"), (TOPIC, "t"), (PARTITION, "1"), (OFFSET, "2")] {
            headers.push(name, Bytes::from_static(value.as_bytes()));
        }
        headers.push("ce_type", "a.b");
        let read = RejectedRecord::read(&Record { headers, ..record(3) }).unwrap();
        assert_eq!((read.original.key.is_none(), read.original.timestamp), (true, Timestamp::from_millis(5)));
        assert_eq!(read.original.headers.get_str("ce_type"), Some("a.b"));
    }

    #[test]
    fn what_was_cut_says_so() {
        let rejected =
            as_read(describe("rejected", &record(MAX_KEPT_BYTES + 1), None, RejectReason::TooLarge, "large"));
        assert!(RejectedRecord::read(&rejected).unwrap().truncated);
        let gone = Record { value: None, ..rejected };
        assert!(RejectedRecord::read(&gone).unwrap().truncated);
        let long_key = Record { key: Some(vec![b'k'; MAX_KEPT_BYTES + 1].into()), ..record(1) };
        let rejected = as_read(describe("rejected", &long_key, None, RejectReason::TooLarge, "large"));
        assert!(RejectedRecord::read(&rejected).unwrap().truncated);
    }
}
