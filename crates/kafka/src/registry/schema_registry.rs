//! What decodes records: [`SchemaRegistry`].

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;

use super::{
    avro::{self, AvroSchema, Undecodable},
    cache::{Cache, Known, Nothing},
    client::{FetchError, RegistryClient},
    config::{InvalidRegistry, RegistryConfig},
    schemas::Schemas,
};
use crate::Fingerprint;

/// In front of Confluent's wire format: this, then the schema's id in four bytes, big-endian.
const CONFLUENT_MAGIC: u8 = 0;
const CONFLUENT_HEADER_BYTES: usize = 5;
/// Registries count in 31 bits, and answer what is more in ways of their own.
const LARGEST_ID: u32 = i32::MAX.cast_unsigned();
/// In front of the single-object encoding: this, then the schema's fingerprint in eight bytes.
const SINGLE_OBJECT_MAGIC: [u8; 2] = [0xC3, 0x01];
const SINGLE_OBJECT_HEADER_BYTES: usize = 10;

/// Turns Avro into JSON with the schema that it was written with. Clones share what was fetched.
#[derive(Debug, Clone)]
pub struct SchemaRegistry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Option<RegistryClient>,
    by_id: Cache<u32>,
    by_fingerprint: Schemas,
}

/// A record as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroJson {
    /// The value; of the `CloudEvents` Avro format, the structured event as the JSON format has it.
    pub json: Bytes,
    /// The full name of the record's schema, such as `com.acme.OrderPlaced`; for what is no record, its type.
    pub name: String,
}

/// What names a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaId {
    /// Its id in the registry.
    Registry(u32),
    /// The fingerprint of its canonical form.
    Fingerprint(Fingerprint),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(id) => write!(f, "id {id}"),
            Self::Fingerprint(fingerprint) => write!(f, "fingerprint {fingerprint}"),
        }
    }
}

/// Why a record could not be turned into JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// Its schema can't be fetched now, and why. [`SchemaRegistry::available`] tells when to try again.
    #[error("{0}")]
    Unavailable(String),
    /// There is no such schema.
    #[error("the schema with {0} is not known: was it deleted, or written for another registry?")]
    UnknownSchema(SchemaId),
    /// It is not Avro, or not what its schema says, or its schema can't be read.
    #[error("{0}")]
    Corrupt(String),
    /// As JSON it would be too large.
    #[error("{0}")]
    TooLarge(String),
}

impl From<Undecodable> for AvroError {
    fn from(error: Undecodable) -> Self {
        match error {
            Undecodable::Corrupt(why) => Self::Corrupt(format!("it is not what its Avro schema says: {why}")),
            Undecodable::TooLarge(why) => Self::TooLarge(why),
        }
    }
}

impl SchemaRegistry {
    /// Reads the configured files; asks the registry nothing yet.
    pub fn new(config: &RegistryConfig) -> Result<Self, InvalidRegistry> {
        let client = config.url.as_deref().map(|url| RegistryClient::new(url, config)).transpose()?;
        let by_id = Cache::new(config.max_schemas, config.unknown_for);
        Ok(Self(Arc::new(Inner { client, by_id, by_fingerprint: Schemas::new(config)? })))
    }

    /// Turns a value in Confluent's wire format or in single-object encoding into JSON. Fetches its schema the first
    /// time.
    pub async fn to_json(&self, value: &[u8]) -> Result<AvroJson, AvroError> {
        if value.starts_with(&SINGLE_OBJECT_MAGIC) {
            return self.single_object(value).await;
        }
        let Some((&[CONFLUENT_MAGIC, ref id @ ..], datum)) = value.split_first_chunk::<CONFLUENT_HEADER_BYTES>() else {
            return Err(AvroError::Corrupt(
                "it is not Avro with a schema registry: it begins neither with 00 and a schema's id nor with C3 01"
                    .to_owned(),
            ));
        };
        let id = u32::from_be_bytes(*id);
        if id > LARGEST_ID {
            return Err(AvroError::UnknownSchema(SchemaId::Registry(id)));
        }
        let known = self.0.by_id.get(id, self.fetch(id)).await.map_err(AvroError::Unavailable)?;
        match known {
            Known::Schema(schema) => decode(&schema, datum),
            Known::Nothing(Nothing::Unknown) => Err(AvroError::UnknownSchema(SchemaId::Registry(id))),
            Known::Nothing(Nothing::Unusable(why)) => Err(unusable(SchemaId::Registry(id), &why)),
        }
    }

    /// Turns a value in single-object encoding into JSON. Its schema is in one of the configured files, or in one of the
    /// configured subjects of the registry.
    pub async fn single_object(&self, value: &[u8]) -> Result<AvroJson, AvroError> {
        let header = value.split_first_chunk::<SINGLE_OBJECT_HEADER_BYTES>();
        let Some((&[0xC3, 0x01, ref fingerprint @ ..], datum)) = header else {
            return Err(AvroError::Corrupt("it is not Avro's single-object encoding".to_owned()));
        };
        let fingerprint = Fingerprint(*fingerprint);
        match self.0.by_fingerprint.get(fingerprint, self.0.client.as_ref()).await {
            Ok(schema) => decode(&schema, datum),
            Err(FetchError::Unavailable(why)) => Err(AvroError::Unavailable(why)),
            Err(FetchError::Unknown) => Err(AvroError::UnknownSchema(SchemaId::Fingerprint(fingerprint))),
            Err(FetchError::Unusable(why)) => Err(unusable(SchemaId::Fingerprint(fingerprint), &why)),
        }
    }

    /// Waits until it is worth trying again what was [`AvroError::Unavailable`].
    pub async fn available(&self) {
        if let Some(client) = &self.0.client {
            client.outage().over().await;
        }
    }

    async fn fetch(&self, id: u32) -> Result<AvroSchema, FetchError> {
        match &self.0.client {
            Some(client) => client.by_id(id).await?.parse(),
            None => Err(FetchError::Unusable("no schema registry is configured".to_owned())),
        }
    }
}

/// Turns an event in the `CloudEvents` Avro format (`application/cloudevents+avro`, without any header) into a structured
/// event as the JSON format has it.
pub fn cloudevent_to_json(value: &[u8]) -> Result<AvroJson, AvroError> {
    // Avro Event Format for CloudEvents 1.0, section 2.4.
    static SCHEMA: LazyLock<AvroSchema> = LazyLock::new(|| {
        let text = include_str!("../../../../schemas/cloudevents/cloud_event.avsc");
        AvroSchema::parse(text, []).expect("the schema of the specification is valid")
    });
    decode(&SCHEMA, value)
}

fn decode(schema: &AvroSchema, datum: &[u8]) -> Result<AvroJson, AvroError> {
    Ok(AvroJson { json: avro::to_json(schema, datum)?, name: schema.name().to_owned() })
}

fn unusable(id: SchemaId, why: &str) -> AvroError {
    AvroError::Corrupt(format!("the schema with {id} can't be read: {why}"))
}
