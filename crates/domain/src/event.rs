//! A domain event, as a source decoded it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{EventId, TenantId, Timestamp};

/// Where a record stands in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceCoordinates {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The record's offset in the partition.
    pub offset: i64,
}

/// One domain event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its identity within the deployment.
    pub id: EventId,
    /// The `id` that its producer gave it, where it has one.
    pub producer_id: Option<String>,
    /// The CloudEvents `source`, or the configured source's name.
    pub source: String,
    /// Whom it is about: only this tenant's subscriptions can match it.
    pub tenant: TenantId,
    /// Its type, as `order.created`.
    pub event_type: String,
    /// When it happened; the record's timestamp where its producer did not say.
    pub time: Timestamp,
    /// The CloudEvents `subject`, if any.
    pub subject: Option<String>,
    /// What an ordered endpoint would order by, if any.
    pub ordering_key: Option<String>,
    /// The untouched bytes of its payload; valid JSON when `content_type` is JSON.
    pub data: Bytes,
    /// The untouched bytes of the state before the change, if the event has it; valid JSON.
    pub previous: Option<Bytes>,
    /// The media type of `data`.
    pub content_type: String,
    /// Where it was read.
    pub coordinates: SourceCoordinates,
}

impl Event {
    /// The id that a receiver knows it by: its producer's, or ours where it gave none.
    pub fn shown_id(&self) -> &str {
        self.producer_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(self.id.as_str())
    }
}
