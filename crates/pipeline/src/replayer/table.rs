//! Reading partitions to their end.

use postrider_kafka::{Codec, CursorEvent, DecodeError, PartitionCursor, Record};

/// The next record; none at the end. Error: the reader ended.
pub(super) async fn next_before_end(cursor: &mut PartitionCursor) -> Result<Option<Record>, String> {
    loop {
        match cursor.next().await {
            Some(CursorEvent::Record(record)) => return Ok(Some(record)),
            Some(CursorEvent::EndOfPartition { .. }) => return Ok(None),
            Some(CursorEvent::OutOfRange { .. }) => {}
            None => return Err(format!("the reader of {} ended", cursor.topic())),
        }
    }
}

/// Decodes a record, once its schema is known. None: its bytes are corrupt.
pub(super) async fn decoded<T>(codec: &Codec, decode: impl Fn() -> Result<T, DecodeError>) -> Option<T> {
    loop {
        match decode() {
            Ok(value) => return Some(value),
            Err(DecodeError::Corrupt(_)) => return None,
            Err(DecodeError::UnknownSchema(fingerprint)) => codec.learned(fingerprint).await,
        }
    }
}
