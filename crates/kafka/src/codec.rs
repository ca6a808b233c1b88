//! Avro single-object encoding of internal records, and the schemas known to this process.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use parking_lot::RwLock;
use serde_avro_fast::{Schema, from_datum_slice, ser::SerializerConfig, to_single_object_vec};
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
    known: RwLock<HashMap<[u8; 8], Arc<Schema>>>,
    learned: watch::Sender<usize>,
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
            known.insert(*schema.rabin_fingerprint(), schema.clone());
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
        let new = self.0.known.write().insert(*schema.rabin_fingerprint(), Arc::new(schema)).is_none();
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
        let bytes = to_single_object_vec(&value.to_wire(), &mut config);
        bytes.expect("a value of our own types fits its schema").into()
    }

    /// Decodes a value written with any known schema of the same record.
    pub fn decode<T: AvroRecord>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let schema = self.writer_of(bytes)?;
        let wire = from_datum_slice(&bytes[HEADER_BYTES..], &schema);
        let wire = wire.map_err(|error| DecodeError::Corrupt(error.to_string()))?;
        T::from_wire(wire).map_err(DecodeError::Corrupt)
    }

    fn writer_of(&self, bytes: &[u8]) -> Result<Arc<Schema>, DecodeError> {
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
    use postrider_domain::{
        Attempt, ConfigBody, ConfigEntry, ConfigMarker, Delivery, DeliveryEvent, DeliveryEventBody, DeliveryKind,
        DirectoryVersion, EndpointId, EntityKind, ErrorClass, EventId, JobId, MessageId, Routing, Run, SecretId,
        SourceCoordinates, Subscription, SubscriptionId, TenantId, Timestamp,
        config_entry::{Deleted, Tenant},
        delivery_event::{
            AfterAttempt, Attempted, CancelReason, Cancelled, DeadLetter, DeadLettered, Held, HoldReason, ParkReason,
            Parked, Skipped,
        },
        endpoint::{Endpoint, EndpointSecret, EndpointSettings},
        retry::RetryPolicy,
        seal::{KeyRing, Sealed, SealedAt},
    };
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

    fn round_trip<T: AvroRecord + PartialEq + fmt::Debug>(value: &T) {
        let codec = Codec::new();
        assert_eq!(codec.decode::<T>(&codec.encode(value)).as_ref(), Ok(value));
    }

    fn delivery(run: Run) -> Delivery {
        Delivery {
            message_id: MessageId::from_trusted("msg_1"),
            run,
            kind: DeliveryKind::Live,
            event_id: EventId::from_trusted("4:shop2:e1"),
            tenant: TenantId::from_trusted("ten_1"),
            endpoint: EndpointId::from_trusted("ep_1"),
            subscription: SubscriptionId::from_trusted("sub_1"),
            event_type: "order.created".to_owned(),
            ordering_key: Some("customer 7".to_owned()),
            source: SourceCoordinates { topic: "orders".into(), partition: 3, offset: i64::MAX },
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{\"a\":1.10}\0\xff"),
        }
    }

    fn sealed() -> Sealed {
        let mut rng = StdRng::seed_from_u64(7);
        let keys = KeyRing::parse(&KeyRing::generate_text(&mut rng)).unwrap();
        let (tenant, entity) = (TenantId::from_trusted("ten_1"), (&EndpointId::from_trusted("ep_1")).into());
        keys.seal(b"secret", SealedAt { tenant: &tenant, entity: &entity, purpose: "test", version: 1 }, &mut rng)
    }

    #[test]
    fn deliveries_round_trip() {
        round_trip(&delivery(Run::LIVE));
        round_trip(&delivery(Run::replay(JobId::from_trusted("job_1"), 17)));
        round_trip(&DeadLetter {
            delivery: delivery(Run::LIVE),
            attempts: 3,
            error: ErrorClass::HttpServerError,
            error_message: None,
            last_status: Some(503),
            response_excerpt: Some("no".to_owned()),
            matched_at: NOW,
            first_attempt_at: Some(NOW),
            at: NOW,
            traceparent: None,
        });
    }

    #[test]
    fn every_kind_of_delivery_event_round_trips() {
        let routing = Routing {
            attempt: Attempt::FIRST,
            first_attempt_at: None,
            not_before: None,
            matched_at: NOW,
            version: Some(DirectoryVersion { epoch: 1, seq: 9 }),
            generation: 0,
            traceparent: None,
        };
        for body in [
            DeliveryEventBody::Attempted(Attempted {
                started_at: NOW,
                duration_us: 1_500,
                status: None,
                error: Some(ErrorClass::Dns),
                error_message: Some("no such host".to_owned()),
                response_excerpt: None,
                next: AfterAttempt::Retry,
                next_attempt_at: Some(NOW),
            }),
            DeliveryEventBody::Parked(Parked { reason: ParkReason::LaneFull, until: NOW }),
            DeliveryEventBody::DeadLettered(DeadLettered { error: ErrorClass::PayloadTooLarge, error_message: None }),
            DeliveryEventBody::Cancelled(Cancelled { reason: CancelReason::EndpointDeleted }),
            DeliveryEventBody::Held(Held { reason: HoldReason::BreakerOpen }),
            DeliveryEventBody::Skipped(Skipped { before: NOW }),
        ] {
            round_trip(&DeliveryEvent::of(&delivery(Run::LIVE), &routing, NOW, body));
        }
    }

    #[test]
    fn every_kind_of_config_entry_round_trips() {
        let tenant = TenantId::from_trusted("ten_1");
        let endpoint = EndpointId::from_trusted("ep_1");
        let filter = r#"{"all":[{"field":"data.total","operator":"greater_than","value":100.50}]}"#;
        for body in [
            ConfigBody::Tenant(Tenant { id: tenant.clone(), name: "Acme".to_owned() }),
            ConfigBody::Endpoint(Box::new(Endpoint {
                id: endpoint.clone(),
                tenant: tenant.clone(),
                url: sealed(),
                origin: "https://example.com".to_owned(),
                enabled: true,
                enabled_version: 4,
                timeout_ms: 30_000,
                retry: RetryPolicy::default(),
                secrets: vec![EndpointSecret {
                    id: SecretId::from_trusted("sec_1"),
                    sealed: sealed(),
                    expires_at: Some(NOW),
                }],
                settings: EndpointSettings { paused: true, ca: Some("pem".to_owned()), ..EndpointSettings::default() },
            })),
            ConfigBody::Subscription(Subscription {
                id: SubscriptionId::from_trusted("sub_1"),
                tenant,
                endpoint: endpoint.clone(),
                event_types: vec!["order.*".parse().unwrap(), "*".parse().unwrap()],
                filter: Some(serde_json::from_str(filter).unwrap()),
                created_at: NOW,
            }),
            ConfigBody::Deleted(Deleted { id: (&endpoint).into(), entity: EntityKind::Endpoint, at: NOW }),
        ] {
            round_trip(&ConfigEntry { version: DirectoryVersion { epoch: 1, seq: 2 }, entity_version: 3, body });
        }
        round_trip(&ConfigMarker { version: DirectoryVersion { epoch: 1, seq: 2 }, live: 12 });
    }

    #[test]
    fn a_record_of_an_unknown_schema_is_not_corrupt() {
        let codec = Codec::new();
        let mut bytes = codec.encode(&ConfigMarker { version: DirectoryVersion::default(), live: 0 }).to_vec();
        bytes[2] ^= 0xff;
        assert!(matches!(codec.decode::<ConfigMarker>(&bytes), Err(DecodeError::UnknownSchema(_))));
        bytes[0] = 0;
        assert!(matches!(codec.decode::<ConfigMarker>(&bytes), Err(DecodeError::Corrupt(_))));
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
