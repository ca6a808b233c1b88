//! Avro single-object encoding of internal records, and the schemas known to this process.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use parking_lot::RwLock;
use serde::Deserialize;
use serde_avro_fast::{Schema, from_datum_slice, ser::SerializerConfig, to_single_object};
use tokio::sync::watch;

use crate::records;

/// The Rabin fingerprint of a schema's canonical form, as it stands in front of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) [u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A value that travels in an internal topic. Implemented in this crate alone.
pub trait AvroRecord: Sized + records::Wire {}

/// Why a record's bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Its schema has not been published yet as far as this process has read: hold the partition.
    #[error("the record was written with schema {0}, which is not in the layout topic yet")]
    UnknownSchema(Fingerprint),
    /// Its bytes are not what its schema says: reject it.
    #[error("the record is corrupt: {0}")]
    Corrupt(String),
}

/// Encodes with this build's schemas, decodes with any that it has learned. Clones share what is learned.
#[derive(Clone)]
pub struct Codec(Arc<Inner>);

struct Inner {
    writers: HashMap<&'static str, Arc<Schema>>,
    known: RwLock<HashMap<[u8; 8], Known>>,
    learned: watch::Sender<usize>,
}

/// A schema, and the name of the record that it describes.
#[derive(Clone)]
struct Known {
    schema: Arc<Schema>,
    name: Arc<str>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("known", &self.0.known.read().len()).finish_non_exhaustive()
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

/// What is read of a schema beside its types.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// What most records fit in, so that encoding them does not move them from buffer to ever larger buffer.
const USUAL_RECORD_BYTES: usize = 2_048;
const HEADER_BYTES: usize = 10;
const MAGIC: [u8; 2] = [0xC3, 0x01];

impl Codec {
    /// A codec that knows this build's own schemas.
    pub fn new() -> Self {
        let mut writers = HashMap::new();
        let mut known = HashMap::new();
        for (name, json) in records::SCHEMAS {
            let schema: Schema = json.parse().expect("the schemas of this build are valid");
            let schema = Arc::new(schema);
            known.insert(*schema.rabin_fingerprint(), Known { schema: schema.clone(), name: name.into() });
            writers.insert(name, schema);
        }
        Self(Arc::new(Inner { writers, known: RwLock::new(known), learned: watch::Sender::new(0) }))
    }

    /// This build's schemas, to be published before first use.
    pub(crate) fn own_schemas(&self) -> Vec<(Fingerprint, String)> {
        self.0
            .writers
            .values()
            .map(|schema| (Fingerprint(*schema.rabin_fingerprint()), schema.json().to_owned()))
            .collect()
    }

    /// Adds a schema that another process published. Error: it is not a valid schema.
    pub(crate) fn learn(&self, json: &str) -> Result<(), String> {
        let schema: Schema = json.parse().map_err(|error| format!("{error}"))?;
        let Named { name } =
            serde_json::from_str(json).map_err(|error| format!("it is no record's schema: {error}"))?;
        let known = Known { schema: Arc::new(schema), name: name.into() };
        let new = self.0.known.write().insert(*known.schema.rabin_fingerprint(), known).is_none();
        if new {
            self.0.learned.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Whether `fingerprint` has been learned.
    pub fn knows(&self, fingerprint: Fingerprint) -> bool {
        self.0.known.read().contains_key(&fingerprint.0)
    }

    /// Waits until `fingerprint` has been learned.
    pub async fn learned(&self, fingerprint: Fingerprint) {
        let mut learned = self.0.learned.subscribe();
        // The sender lives as long as this codec.
        let _ = learned.wait_for(|_| self.knows(fingerprint)).await;
    }

    /// Encodes a value with this build's schema.
    pub fn encode<T: AvroRecord>(&self, value: &T) -> Bytes {
        let schema = &self.0.writers[T::SCHEMA];
        let mut config = SerializerConfig::new(schema);
        let buffer = Vec::with_capacity(USUAL_RECORD_BYTES);
        let bytes = to_single_object(&value.to_wire(), buffer, &mut config);
        bytes.expect("a value of our own types fits its schema").into()
    }

    /// Decodes a value written with any known schema of the same record.
    pub fn decode<T: AvroRecord>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let Known { schema, name } = self.writer_of(bytes)?;
        if *name != *T::SCHEMA {
            return Err(DecodeError::Corrupt(format!("it is a record of kind {name}, not {}", T::SCHEMA)));
        }
        let wire = from_datum_slice(&bytes[HEADER_BYTES..], &schema);
        let wire = wire.map_err(|error| DecodeError::Corrupt(error.to_string()))?;
        T::from_wire(wire).map_err(DecodeError::Corrupt)
    }

    /// What kind of record `bytes` are: the name of the schema that they were written with.
    pub(crate) fn schema_name(&self, bytes: &[u8]) -> Result<Arc<str>, DecodeError> {
        self.writer_of(bytes).map(|writer| writer.name)
    }

    fn writer_of(&self, bytes: &[u8]) -> Result<Known, DecodeError> {
        let header = bytes.get(..HEADER_BYTES).filter(|header| header[..2] == MAGIC).ok_or_else(|| {
            DecodeError::Corrupt("it does not start with Avro's single-object header (C3 01)".to_owned())
        })?;
        let fingerprint: [u8; 8] = header[2..].try_into().expect("eight of ten bytes");
        let known = self.0.known.read().get(&fingerprint).cloned();
        known.ok_or(DecodeError::UnknownSchema(Fingerprint(fingerprint)))
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{ConfigEntry, ConfigMarker, DirectoryVersion};

    use serde_avro_fast::to_single_object_vec;

    use super::*;

    #[test]
    fn a_record_of_an_unknown_schema_is_not_corrupt() {
        let codec = Codec::new();
        let mut bytes = codec.encode(&ConfigMarker { version: DirectoryVersion::default(), live: 0 }).to_vec();
        bytes[2] ^= 0xff;
        assert!(matches!(codec.decode::<ConfigMarker>(&bytes), Err(DecodeError::UnknownSchema(_))));
        bytes[0] = 0;
        assert!(matches!(codec.decode::<ConfigMarker>(&bytes), Err(DecodeError::Corrupt(_))));
    }

    #[test]
    fn a_record_of_another_kind_is_corrupt() {
        let codec = Codec::new();
        let bytes = codec.encode(&ConfigMarker { version: DirectoryVersion::default(), live: 0 });
        let said = codec.decode::<ConfigEntry>(&bytes).unwrap_err().to_string();
        assert!(said.contains("of kind ConfigMarker, not ConfigEntry"), "{said}");
    }

    #[derive(serde::Serialize)]
    struct Newer {
        version: DirectoryVersion,
        live: i64,
        x: &'static str,
    }

    #[tokio::test]
    async fn a_newer_writers_schema_can_be_learned_and_its_unknown_field_is_ignored() {
        let newer = include_str!("../../../schemas/config_marker.avsc").replace(
            r#"{"name": "live", "type": "long"}"#,
            r#"{"name": "live", "type": "long"}, {"name": "x", "type": "string"}"#,
        );
        let reader = Codec::new();
        let schema: Schema = newer.parse().unwrap();
        let value = Newer { version: DirectoryVersion { epoch: 1, seq: 2 }, live: 5, x: "new" };
        let bytes = to_single_object_vec(&value, &mut SerializerConfig::new(&schema)).unwrap();
        let Err(DecodeError::UnknownSchema(fingerprint)) = reader.decode::<ConfigMarker>(&bytes) else {
            panic!("it was not published yet");
        };
        reader.learn(&newer).unwrap();
        reader.learned(fingerprint).await;
        assert_eq!(reader.decode::<ConfigMarker>(&bytes).unwrap().live, 5);
    }
}
