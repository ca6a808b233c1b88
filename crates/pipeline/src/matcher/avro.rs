//! Avro among the records of a source: what needs a schema waits until the registry answers.

use std::{fmt, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use metrics::Gauge;
use parking_lot::Mutex;
use postrider_kafka::{
    AvroError, AvroJson, Readiness, ReadinessHandle, Record, RejectReason, SchemaRegistry, cloudevent_to_json,
};
use tokio::time::timeout;

use super::{
    decode::{Decoded, Rejection, check_size, decode, decode_avro, media_type},
    source::{SourceConfig, SourceFormat},
};

/// The media type of CloudEvents in the Avro format, which are written without a header.
const CLOUDEVENTS_AVRO: &str = "application/cloudevents+avro";
/// In front of Confluent's wire format, and of the single-object encoding.
const MAGIC: [&[u8]; 2] = [&[0], &[0xC3, 0x01]];
/// How long to wait for the registry's return before asking it once more.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The same at least.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// What turns Avro into JSON.
pub trait Schemas: fmt::Debug + Send + Sync {
    /// Turns a value in Confluent's wire format or in single-object encoding into JSON.
    fn to_json<'a>(&'a self, value: &'a [u8]) -> BoxFuture<'a, Result<AvroJson, AvroError>>;

    /// Waits until it is worth trying again what was unavailable.
    fn available(&self) -> BoxFuture<'_, ()>;
}

impl Schemas for SchemaRegistry {
    fn to_json<'a>(&'a self, value: &'a [u8]) -> BoxFuture<'a, Result<AvroJson, AvroError>> {
        self.to_json(value).boxed()
    }

    fn available(&self) -> BoxFuture<'_, ()> {
        self.available().boxed()
    }
}

/// How the value of a record is encoded.
enum Encoding {
    /// As it is.
    Plain,
    /// With a schema of the registry.
    Registered,
    /// CloudEvents in the Avro format.
    CloudEvent,
}

/// Decodes the records of a source.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    source: Arc<SourceConfig>,
    schemas: Option<Arc<dyn Schemas>>,
    waiting: Waiting,
}

impl Decoder {
    /// Says in `readiness` and by a metric, if there are such, when it waits.
    pub(crate) fn new(
        source: Arc<SourceConfig>,
        schemas: Option<Arc<dyn Schemas>>,
        readiness: Option<&Readiness>,
    ) -> Self {
        let waiting = Waiting::new(&source.name, readiness.filter(|_| schemas.is_some()));
        Self { source, schemas, waiting }
    }

    pub(crate) fn source(&self) -> &SourceConfig {
        &self.source
    }

    /// What the record is, if no schema is needed to tell.
    pub(super) fn at_once(&self, record: &Record) -> Option<Decoded> {
        if let Err(rejection) = check_size(record) {
            return Some(Decoded::rejected(rejection));
        }
        let value = record.value.as_deref().unwrap_or_default();
        match self.encoding(record, value) {
            Encoding::Plain => Some(decode(&self.source, record)),
            Encoding::CloudEvent => Some(
                self.decoded(record, cloudevent_to_json(value))
                    .unwrap_or_else(|why| Decoded::rejected(Rejection::undecodable(why))),
            ),
            Encoding::Registered if self.schemas.is_none() => Some(Decoded::rejected(Rejection::undecodable(
                "it begins like Avro, and there is no [schema_registry] in the configuration",
            ))),
            Encoding::Registered => None,
        }
    }

    /// What the record is. While the registry does not answer, waits. Cancel-safe.
    pub(super) async fn decode(&self, record: &Record) -> Decoded {
        let mut waiting = None;
        loop {
            match self.try_decode(record).await {
                Ok(decoded) => return decoded,
                Err(reason) => {
                    waiting.get_or_insert_with(|| self.waiting.begin()).because(&reason);
                    self.until_available().await;
                }
            }
        }
    }

    /// What the record is. Error: the registry does not answer, and why.
    pub(super) async fn try_decode(&self, record: &Record) -> Result<Decoded, String> {
        if let Some(decoded) = self.at_once(record) {
            return Ok(decoded);
        }
        let schemas = self.schemas.as_ref().expect("what needs no registry is decoded at once");
        let value = record.value.as_deref().unwrap_or_default();
        self.decoded(record, schemas.to_json(value).await)
    }

    fn encoding(&self, record: &Record, value: &[u8]) -> Encoding {
        let begins_like_avro = MAGIC.iter().any(|magic| value.starts_with(magic));
        let media_type = media_type(&record.headers);
        // The data of a CloudEvent in binary mode may be any bytes.
        let has_attributes = record.headers.get("ce_specversion").is_some();
        let says_avro = self.schemas.is_some() && media_type.as_deref().is_some_and(|it| it.contains("avro"));
        match self.source.format {
            SourceFormat::Json => Encoding::Plain,
            _ if value.is_empty() => Encoding::Plain,
            _ if media_type.as_deref() == Some(CLOUDEVENTS_AVRO) && !begins_like_avro => Encoding::CloudEvent,
            SourceFormat::Avro if begins_like_avro => Encoding::Registered,
            SourceFormat::Auto | SourceFormat::CloudEvents if begins_like_avro && (!has_attributes || says_avro) => {
                Encoding::Registered
            }
            SourceFormat::Auto | SourceFormat::CloudEvents | SourceFormat::Avro => Encoding::Plain,
        }
    }

    fn decoded(&self, record: &Record, json: Result<AvroJson, AvroError>) -> Result<Decoded, String> {
        let rejected = |reason: RejectReason, error: AvroError| {
            Ok(Decoded::rejected(Rejection { reason, message: error.to_string() }))
        };
        match json {
            Ok(json) => Ok(decode_avro(&self.source, record, &json)),
            Err(AvroError::Unavailable(why)) => Err(why),
            Err(error @ AvroError::TooLarge(_)) => rejected(RejectReason::TooLarge, error),
            Err(error @ (AvroError::UnknownSchema(_) | AvroError::Corrupt(_))) => {
                rejected(RejectReason::Undecodable, error)
            }
        }
    }

    async fn until_available(&self) {
        tokio::time::sleep(MIN_PAUSE).await;
        if let Some(schemas) = &self.schemas {
            // An error means that it is time to ask in any case.
            let _ = timeout(MAX_PAUSE, schemas.available()).await;
        }
    }
}

/// The partitions of a source that wait for the registry. Clones share it.
#[derive(Debug, Clone)]
struct Waiting(Arc<Mutex<State>>);

struct State {
    partitions: usize,
    readiness: Option<ReadinessHandle>,
    gauge: Gauge,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.partitions)
    }
}

/// One partition that waits, until it is dropped.
struct Waits(Waiting);

impl Waiting {
    fn new(source: &str, readiness: Option<&Readiness>) -> Self {
        let readiness = readiness.map(|readiness| readiness.register(format!("schemas of source '{source}'")));
        readiness.iter().for_each(ReadinessHandle::ready);
        // Replays wait too, but hold no partition of the source.
        let gauge = readiness.as_ref().map_or_else(
            Gauge::noop,
            |_| metrics::gauge!("postrider_source_waiting_partitions", "source" => source.to_owned()),
        );
        Self(Arc::new(Mutex::new(State { partitions: 0, readiness, gauge })))
    }

    fn begin(&self) -> Waits {
        self.0.lock().change(1);
        Waits(self.clone())
    }
}

impl State {
    fn change(&mut self, by: isize) {
        self.partitions = self.partitions.saturating_add_signed(by);
        #[expect(clippy::cast_precision_loss, reason = "so many partitions nobody has")]
        self.gauge.set(self.partitions as f64);
        if self.partitions == 0 {
            self.readiness.iter().for_each(ReadinessHandle::ready);
        }
    }
}

impl Waits {
    fn because(&self, reason: &str) {
        let state = self.0.0.lock();
        state.readiness.iter().for_each(|handle| handle.unready(format!("the schema registry: {reason}")));
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.lock().change(-1);
    }
}
