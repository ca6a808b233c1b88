//! Records as stages see them: owned, and detached from the client's fetch buffers.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use bytes::Bytes;
use postrider_domain::{SourceCoordinates, Timestamp};
use rdkafka::{
    Message as _, Timestamp as KafkaTimestamp,
    message::{BorrowedHeaders, BorrowedMessage, Header, Headers as _, OwnedHeaders},
};

/// A record's headers, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Arc<str>, Bytes)>);

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last value of a header.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
    }

    /// The last value of a header, if it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Adds a header.
    pub fn push(&mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub(crate) fn to_kafka(&self) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new_with_capacity(self.0.len());
        for (key, value) in self.iter() {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        headers
    }
}

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When the broker appended it, on a LogAppendTime topic; else what its producer said.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none for a tombstone.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
}

impl Record {
    /// Where it stands.
    pub fn coordinates(&self) -> SourceCoordinates {
        SourceCoordinates { topic: self.topic.clone(), partition: self.partition, offset: self.offset }
    }

    /// Its key, if it is UTF-8.
    pub fn key_str(&self) -> Option<&str> {
        self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok())
    }

    /// About how much memory it takes, bytes.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }

    /// Copies a message out of the fetch that it borrows from (which it would otherwise pin whole).
    pub(crate) fn detach(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Self {
        let mut headers = Headers::new();
        if let Some(borrowed) = message.headers() {
            for header in (0..borrowed.count()).filter_map(|index| header(borrowed, index)) {
                headers.push(header.key, header.value.map(Bytes::copy_from_slice).unwrap_or_default());
            }
        }
        let millis = match message.timestamp() {
            KafkaTimestamp::NotAvailable => 0,
            KafkaTimestamp::CreateTime(millis) | KafkaTimestamp::LogAppendTime(millis) => millis,
        };
        Self {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp: Timestamp::from_millis(millis),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers,
        }
    }
}

/// A header; none if its name is not UTF-8, for which the client has no answer but a panic. Nobody asks for such a
/// header, and its record must not end the reader.
fn header(headers: &BorrowedHeaders, index: usize) -> Option<Header<'_, &[u8]>> {
    panic::catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok().flatten()
}

/// A record to write.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition; none lets the client choose.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Bytes,
    /// Its value; none for a tombstone.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
}
