//! A delivery on its way through the dispatcher.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{Delivery, EventId, Routing, SourceCoordinates, message_id::message_id};
use postrider_kafka::{
    Codec, DecodeError, Fingerprint, Outgoing, Record, SettleToken, routing_from_headers, routing_to_headers,
};

use super::memory::Reservation;

/// The header of a held record that has its ordering key: whose turn it is can be told without decoding the value.
pub(crate) const ORDERING_KEY_HEADER: &str = "pr-ordering-key";

/// An ordering key that is longer than this is named by its hash.
const MAX_KEY_BYTES: usize = 200;

/// A delivery that was read and is not settled.
#[derive(Debug)]
pub(super) struct Job {
    /// The record's value, forwarded byte for byte.
    pub value: Bytes,
    /// What the value says.
    pub delivery: Delivery,
    /// What the headers say.
    pub routing: Routing,
    /// Where it was read, and how it is settled there.
    pub origin: Origin,
    /// Its share of the memory for waiting deliveries; none while it is only passing through.
    pub memory: Option<Reservation>,
}

/// Where a delivery was read.
#[derive(Debug)]
pub(super) enum Origin {
    /// In the deliveries topic: settled by its token, once it is durable elsewhere.
    Deliveries(SourceCoordinates, SettleToken),
    /// In the held topic: done in its endpoint's state, once it is durable elsewhere.
    Held(SourceCoordinates),
}

impl Origin {
    /// Its offset in the held topic, if it was read there.
    pub(super) fn held_offset(&self) -> Option<i64> {
        match self {
            Self::Held(at) => Some(at.offset),
            Self::Deliveries(..) => None,
        }
    }
}

/// Why a record is not a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotAJob {
    /// Its schema has to be learned first.
    UnknownSchema(Fingerprint),
    /// It can't be understood, ever.
    Corrupt(String),
}

/// Reads a record of the deliveries or held topic.
pub(crate) fn decode(record: &Record, codec: &Codec) -> Result<(Delivery, Routing), NotAJob> {
    let value = record.value.as_ref().ok_or_else(|| NotAJob::Corrupt("it has no value".to_owned()))?;
    let delivery: Delivery = codec.decode(value).map_err(|error| match error {
        DecodeError::UnknownSchema(fingerprint) => NotAJob::UnknownSchema(fingerprint),
        DecodeError::Corrupt(_) => NotAJob::Corrupt(error.to_string()),
    })?;
    let routing = routing_from_headers(&record.headers).map_err(|error| NotAJob::Corrupt(error.to_string()))?;
    Ok((delivery, routing))
}

/// Where a record stands.
pub(super) fn coordinates(record: &Record) -> SourceCoordinates {
    SourceCoordinates { topic: record.topic.clone(), partition: record.partition, offset: record.offset }
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

    /// The delivery's record for the held topic.
    pub(super) fn to_hold(&self, topic: Arc<str>, partition: i32) -> Outgoing {
        let mut record = self.forward(topic, partition, &Routing { not_before: None, ..self.routing.clone() });
        record.headers.push(ORDERING_KEY_HEADER, Bytes::from(self.key()));
        record
    }

    /// What an ordered endpoint orders it by: what has no key of its own is ordered behind nothing. A long key is
    /// named by its hash: keys that wait are written down in the endpoint's state.
    pub(super) fn key(&self) -> String {
        match &self.delivery.ordering_key {
            Some(key) if key.len() > MAX_KEY_BYTES => {
                format!("\u{1}{}", message_id(&EventId::from_trusted(key.as_str()), &self.delivery.endpoint))
            }
            Some(key) => key.clone(),
            None => format!("\u{0}{}", self.delivery.message_id),
        }
    }
}
