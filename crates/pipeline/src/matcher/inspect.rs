//! How records of a source would be understood, without doing anything about it.

use std::sync::Arc;

use postrider_domain::{Event, TenantId, Timestamp, filter::EventView};
use postrider_kafka::Record;

use super::{
    avro::{Decoder, Schemas},
    decode::Rejection,
    source::SourceConfig,
    validation::{self, Finding},
};
use crate::directory::Directory;

/// Looks at records of a source.
#[derive(Debug)]
pub struct Inspector {
    decoder: Decoder,
    directory: Option<Directory>,
}

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
    /// Where it does not fit the schema of its type, which only reports that.
    pub violation: Option<String>,
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
    /// Looks with the same eyes as the matcher of `source`; at event types' schemas only with a directory.
    pub fn new(source: SourceConfig, schemas: Option<Arc<dyn Schemas>>, directory: Option<Directory>) -> Self {
        Self { decoder: Decoder::new(Arc::new(source), schemas, None), directory }
    }

    /// What a record is: one of these, or several of a batch.
    pub async fn inspect(&self, record: &Record) -> Vec<Inspected> {
        let decoded = match self.decoder.try_decode(record).await {
            Ok(decoded) => decoded,
            Err(reason) => return vec![Inspected::Waits(reason)],
        };
        if decoded.events.is_empty() && decoded.rejections.is_empty() {
            return vec![Inspected::Empty];
        }
        let events = decoded.events.into_iter().map(|event| self.hold_against_its_schema(event));
        events.chain(decoded.rejections.into_iter().map(rejected)).collect()
    }

    fn hold_against_its_schema(&self, event: Event) -> Inspected {
        let finding = self.directory.as_ref().map(|directory| validation::validate(directory, &EventView::new(&event)));
        match finding {
            Some(Finding::Rejected(rejection)) => rejected(rejection),
            Some(Finding::Reported(found)) => Inspected::Event(understood(event, Some(found.to_string()))),
            Some(Finding::Unusable(error)) => Inspected::Event(understood(event, Some(error.to_string()))),
            Some(Finding::Fits) | None => Inspected::Event(understood(event, None)),
        }
    }
}

fn rejected(rejection: Rejection) -> Inspected {
    Inspected::Rejected { reason: rejection.reason.as_str(), message: rejection.message }
}

fn understood(event: Event, violation: Option<String>) -> Understood {
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
        violation,
    }
}
