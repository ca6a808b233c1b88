//! The records that stages write, each with its key and the partition that everybody computes for it.

use std::sync::Arc;

use bytes::Bytes;
use postrider_domain::{
    Delivery, DeliveryEvent, Routing,
    delivery_event::{DeadLetter, HeldRange},
    replay::{DeadLetterMark, ReplayProgress},
};
use postrider_kafka::{AvroRecord, Headers, Layout, Outgoing, routing_to_headers};

/// A delivery for `topic`.
pub(crate) fn delivery(layout: &Layout, topic: &Arc<str>, delivery: &Delivery, routing: &Routing) -> Outgoing {
    let record = keyed(layout, topic, delivery.endpoint.as_str(), delivery);
    Outgoing { headers: routing_to_headers(routing), ..record }
}

/// An entry of the dead-letter queue.
pub(crate) fn dead_letter(layout: &Layout, topic: &Arc<str>, letter: &DeadLetter) -> Outgoing {
    keyed(layout, topic, letter.delivery.endpoint.as_str(), letter)
}

/// What happened to a delivery.
pub(crate) fn delivery_event(layout: &Layout, topic: &Arc<str>, event: &DeliveryEvent) -> Outgoing {
    keyed(layout, topic, event.message_id.as_str(), event)
}

/// That an entry of the dead-letter queue was dealt with: where the entry stands, so that who reads one finds the
/// other.
pub(crate) fn mark(layout: &Layout, topic: &Arc<str>, mark: &DeadLetterMark) -> Outgoing {
    keyed(layout, topic, mark.endpoint.as_str(), mark)
}

/// How far a replay job has come.
pub(crate) fn progress(layout: &Layout, topic: &Arc<str>, progress: &ReplayProgress) -> Outgoing {
    keyed(layout, topic, progress.job.as_str(), progress)
}

/// The end of many held deliveries.
pub(crate) fn held_range(layout: &Layout, topic: &Arc<str>, range: &HeldRange) -> Outgoing {
    keyed(layout, topic, range.endpoint.as_str(), range)
}

fn keyed<T: AvroRecord>(layout: &Layout, topic: &Arc<str>, key: &str, value: &T) -> Outgoing {
    Outgoing {
        topic: topic.clone(),
        partition: Some(layout.partition(topic, key)),
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some(layout.codec().encode(value)),
        headers: Headers::new(),
    }
}
