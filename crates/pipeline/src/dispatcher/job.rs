//! A delivery on its way through the dispatcher.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{Delivery, Routing};
use postrider_kafka::{
    Codec, DecodeError, Fingerprint, Outgoing, Record, SettleToken, routing_from_headers, routing_to_headers,
};
use tokio::sync::OwnedSemaphorePermit;

/// A delivery that was read and is not settled.
#[derive(Debug)]
pub(super) struct Job {
    /// The record's value, forwarded byte for byte.
    pub value: Bytes,
    /// What the value says.
    pub delivery: Delivery,
    /// What the headers say.
    pub routing: Routing,
    /// To be settled when it is durable elsewhere.
    pub token: SettleToken,
    /// Its share of the memory for waiting deliveries; none while it is only passing through.
    pub memory: Option<OwnedSemaphorePermit>,
}

/// Why a record is not a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAJob {
    /// Its schema has to be learned first.
    UnknownSchema(Fingerprint),
    /// It can't be understood, ever.
    Corrupt(String),
}

/// Reads a record of the deliveries topic.
pub(super) fn decode(record: &Record, codec: &Codec) -> Result<(Delivery, Routing), NotAJob> {
    let value = record.value.as_ref().ok_or_else(|| NotAJob::Corrupt("it has no value".to_owned()))?;
    let delivery: Delivery = codec.decode(value).map_err(|error| match error {
        DecodeError::UnknownSchema(fingerprint) => NotAJob::UnknownSchema(fingerprint),
        DecodeError::Corrupt(_) => NotAJob::Corrupt(error.to_string()),
    })?;
    let routing = routing_from_headers(&record.headers).map_err(|error| NotAJob::Corrupt(error.to_string()))?;
    Ok((delivery, routing))
}

impl Job {
    /// The delivery's record for another topic, its value untouched.
    pub(super) fn forward(&self, topic: Arc<str>, partition: i32, routing: &Routing) -> Outgoing {
        Outgoing {
            topic,
            partition: Some(partition),
            key: Bytes::copy_from_slice(self.delivery.endpoint.as_str().as_bytes()),
            value: Some(self.value.clone()),
            headers: routing_to_headers(routing),
        }
    }
}
