//! The rejected topic: what could not be understood, with its bytes, so that nothing is lost.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Outgoing, ProduceError, Record, Sink};

/// Bytes of a rejected record that are kept.
const MAX_KEPT_BYTES: usize = 900 * 1024;

/// Why a record is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// It is not of its source's format.
    Undecodable,
    /// It has no event type, or one that is not allowed.
    EventType,
    /// It has no tenant, or a malformed one.
    Tenant,
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
            Self::TooLarge => "too_large",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Writes `record` to the rejected topic with the reason and its coordinates, and counts it. The caller
/// settles it afterwards. Errors as [`Sink::send`]; a record too large for the topic is written without
/// its bytes.
pub async fn reject(
    sink: &impl Sink,
    topic: &str,
    record: &Record,
    reason: RejectReason,
    message: &str,
) -> Result<(), ProduceError> {
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
    let mut rejected = describe(topic, record, reason, message);
    match sink.send(rejected.clone()).await {
        Err(ProduceError::TooLarge { .. }) => {
            rejected.value = None;
            sink.send(rejected).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn describe(topic: &str, record: &Record, reason: RejectReason, message: &str) -> Outgoing {
    let value = record.value.clone().unwrap_or_default();
    let truncated = value.len() > MAX_KEPT_BYTES;
    let mut headers = crate::Headers::new();
    headers.push("pr-reason", Bytes::from_static(reason.as_str().as_bytes()));
    headers.push("pr-message", Bytes::copy_from_slice(message.as_bytes()));
    headers.push("pr-source-topic", Bytes::copy_from_slice(record.topic.as_bytes()));
    headers.push("pr-source-partition", Bytes::from(record.partition.to_string()));
    headers.push("pr-source-offset", Bytes::from(record.offset.to_string()));
    if truncated {
        headers.push("pr-truncated", Bytes::from_static(b"true"));
    }
    for (name, value) in record.headers.iter() {
        headers.push(name, Bytes::copy_from_slice(value));
    }
    Outgoing {
        topic: Arc::from(topic),
        partition: None,
        key: Bytes::from(format!("{}/{}/{}", record.topic, record.partition, record.offset)),
        value: Some(if truncated { value.slice(..MAX_KEPT_BYTES) } else { value }),
        headers,
    }
}
