//! An event that somebody hands over, outside of any topic.

use bytes::Bytes;
use postrider_domain::{Event, TenantId, Timestamp};
use postrider_kafka::{Headers, Record};

use super::{
    decode::{Decoded, decode},
    source::SourceConfig,
};

/// Reads an event in plain JSON or structured CloudEvents, as the matcher would if a record of the source `name` had it
/// as its value. If it names no tenant, it is `tenant`'s. Error: why it is no event.
pub fn read_event(name: &str, tenant: &TenantId, json: Bytes, now: Timestamp) -> Result<Event, String> {
    let source = SourceConfig { tenant: Some(tenant.clone()), ..SourceConfig::new(name, name) };
    let record = Record {
        topic: name.into(),
        partition: 0,
        offset: 0,
        timestamp: now,
        key: None,
        value: Some(json),
        headers: Headers::new(),
    };
    let Decoded { mut events, rejections } = decode(&source, &record);
    if let Some(rejection) = rejections.into_iter().next() {
        return Err(rejection.message);
    }
    match (events.pop(), events.len()) {
        (None, _) => Err("it is empty".to_owned()),
        (Some(event), 0) => Ok(event),
        (Some(_), others) => Err(format!("it is a batch of {} events: give one of them", others + 1)),
    }
}
