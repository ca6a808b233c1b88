//! How records of a source would be understood, without doing anything about it.

use std::sync::Arc;

use postrider_domain::{Event, TenantId, Timestamp};
use postrider_kafka::Record;

use super::{
    avro::{Decoder, Schemas},
    source::SourceConfig,
};

/// Looks at records of a source.
#[derive(Debug)]
pub struct Inspector(Decoder);

/// What is understood of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// Its type.
    pub event_type: String,
    /// The id that its producer gave it, if any.
    pub id: Option<String>,
    /// Whose it is.
    pub tenant: TenantId,
    /// When it happened.
    pub time: Timestamp,
    /// What it is about, if it says so.
    pub subject: Option<String>,
    /// What an ordered endpoint orders it by, if anything.
    pub ordering_key: Option<String>,
    /// The media type of its payload.
    pub content_type: String,
    /// The bytes of its payload.
    pub data_bytes: usize,
    /// The bytes of the state before, if it has it.
    pub previous_bytes: Option<usize>,
}

/// What one record, or one event of a batch, is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// An event.
    Event(Understood),
    /// A record without a value: it is passed over.
    Empty,
    /// It would be rejected.
    Rejected {
        /// The class, as in headers and metrics.
        reason: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// Its schema can't be fetched, for this reason: its partition would wait.
    Waits(String),
}

impl Inspector {
    /// Looks with the same eyes as the matcher of `source`.
    pub fn new(source: SourceConfig, schemas: Option<Arc<dyn Schemas>>) -> Self {
        Self(Decoder::new(Arc::new(source), schemas, None))
    }

    /// What a record is: one of these, or several of a batch.
    pub async fn inspect(&self, record: &Record) -> Vec<Inspected> {
        let decoded = match self.0.try_decode(record).await {
            Ok(decoded) => decoded,
            Err(reason) => return vec![Inspected::Waits(reason)],
        };
        if decoded.events.is_empty() && decoded.rejections.is_empty() {
            return vec![Inspected::Empty];
        }
        let events = decoded.events.into_iter().map(|event| Inspected::Event(understood(event)));
        let rejections = decoded.rejections.into_iter();
        let rejections = rejections
            .map(|rejection| Inspected::Rejected { reason: rejection.reason.as_str(), message: rejection.message });
        events.chain(rejections).collect()
    }
}

fn understood(event: Event) -> Understood {
    Understood {
        event_type: event.event_type,
        id: event.producer_id,
        tenant: event.tenant,
        time: event.time,
        subject: event.subject,
        ordering_key: event.ordering_key,
        content_type: event.content_type,
        data_bytes: event.data.len(),
        previous_bytes: event.previous.map(|previous| previous.len()),
    }
}
