//! `postrider.layout`: the Avro schemas and partition counts that every process of a deployment shares.
//!
//! Read in every role before its first produce or consume. Keys `schema:<fingerprint>` hold schemas,
//! `generation` the partition counts as they were recorded, right after the topics were made.

mod generation;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use postrider_domain::tier::Tiers;

pub use generation::UnusedPartitions;
use generation::{Generation, reconcile};

use crate::{
    AdminError, Codec, Headers, KafkaConfig, Outgoing, ProduceError, Producer, Record, SettingProblem, Shutdown,
    TableEvent, TableReader, TopicSettings, TopicSpec, Topics, admin, partition_for_key,
};

const GENERATION_KEY: &str = "generation";
const SCHEMA_PREFIX: &str = "schema:";
/// A tombstone under this key is written at every start: its acknowledgement teaches the brokers' time.
const CLOCK_KEY: &str = "clock";

/// Why a process can't work with the deployment's layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Topics could not be made or looked at.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Existing topics have settings that would break a promise.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<SettingProblem>),
    /// A topic has fewer partitions than recorded, or is missing.
    #[error(
        "topic '{topic}' has {actual} partitions, but {recorded} are recorded in the layout: its records can't be found any more; restore the topic"
    )]
    Shrunk {
        /// The topic.
        topic: String,
        /// What it has; 0 if it is missing.
        actual: i32,
        /// What is recorded.
        recorded: i32,
    },
    /// Topics that must have the same number of partitions have not.
    #[error(
        "topic '{topic}' has {actual} partitions, but '{like}' has {expected} and both must have the same: {what_to_do}"
    )]
    Uneven {
        /// The topic.
        topic: String,
        /// What it has.
        actual: i32,
        /// The topic that it must be like.
        like: String,
        /// What that has.
        expected: i32,
        /// How to go on.
        what_to_do: &'static str,
    },
    /// The layout topic can't be read or written.
    #[error("the layout topic can't be used: {0}")]
    Topic(String),
}

impl From<ProduceError> for LayoutError {
    fn from(error: ProduceError) -> Self {
        Self::Topic(error.to_string())
    }
}

/// The deployment's layout. Clones share it.
#[derive(Debug, Clone)]
pub struct Layout {
    partitions: Arc<HashMap<String, i32>>,
    codec: Codec,
}

impl Layout {
    /// Makes missing topics (if told how), checks existing ones, reads the layout, adds what is missing to it,
    /// and follows it until `shutdown`.
    pub async fn open(
        kafka: &KafkaConfig,
        topics: &Topics,
        tiers: &Tiers,
        create: Option<TopicSettings>,
        producer: &Producer,
        shutdown: &Shutdown,
    ) -> Result<Self, LayoutError> {
        let specs = topics.specs(tiers);
        if !kafka.embedded {
            if let Some(settings) = create {
                admin::create_topics(kafka, &specs, settings).await?;
            }
            let problems = admin::check_topics(kafka, &specs).await?;
            if !problems.is_empty() {
                return Err(LayoutError::Settings(problems));
            }
        }
        let codec = Codec::new();
        let mut reader = TableReader::start(kafka, &topics.layout()).map_err(LayoutError::Topic)?;
        let (recorded, published) = read(&mut reader, &codec).await?;
        let (generation, unused) = reconcile(recorded.as_ref(), &counts(kafka, &specs).await?, topics)?;
        report(&unused);
        let layout = topics.layout();
        if recorded.as_ref() != Some(&generation) {
            let text = serde_json::to_vec(&generation).expect("counts are JSON");
            producer.send(&entry(&layout, GENERATION_KEY, Some(text.into()))).await?;
        }
        for (fingerprint, json) in codec.own_schemas() {
            let key = format!("{SCHEMA_PREFIX}{fingerprint}");
            if !published.contains(&key) {
                producer.send(&entry(&layout, &key, Some(json.into()))).await?;
            }
        }
        producer.send(&entry(&layout, CLOCK_KEY, None)).await?;
        follow(reader, codec.clone(), shutdown.clone());
        Ok(Self { partitions: Arc::new(generation.partitions.into_iter().collect()), codec })
    }

    /// A layout without a broker behind it, for a stage's own tests: every topic has `partitions`.
    pub fn for_test(topics: &Topics, tiers: &Tiers, partitions: i32) -> Self {
        let counts = topics.specs(tiers).into_iter().map(|spec| (spec.name, partitions));
        Self { partitions: Arc::new(counts.collect()), codec: Codec::new() }
    }

    /// The partition of `key` in an internal topic, by the recorded count.
    ///
    /// # Panics
    /// If `topic` is not an internal topic.
    pub fn partition(&self, topic: &str, key: &str) -> i32 {
        partition_for_key(key, self.partitions[topic])
    }

    /// How many partitions an internal topic has, as recorded.
    ///
    /// # Panics
    /// If `topic` is not an internal topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        self.partitions[topic]
    }

    /// Encodes and decodes internal records.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }
}

/// Partitions that were added to `topics` by hand, by what the layout has recorded. The layout topic must exist.
pub async fn unused_partitions(
    kafka: &KafkaConfig,
    topics: &Topics,
    tiers: &Tiers,
) -> Result<Vec<UnusedPartitions>, LayoutError> {
    let mut reader = TableReader::start(kafka, &topics.layout()).map_err(LayoutError::Topic)?;
    let (recorded, _) = read(&mut reader, &Codec::new()).await?;
    let (_, unused) = reconcile(recorded.as_ref(), &counts(kafka, &topics.specs(tiers)).await?, topics)?;
    Ok(unused)
}

/// How many partitions those of `specs` have that exist.
async fn counts(kafka: &KafkaConfig, specs: &[TopicSpec]) -> Result<HashMap<String, i32>, AdminError> {
    let mut actual = admin::partition_counts(kafka).await?;
    actual.retain(|topic, _| specs.iter().any(|spec| spec.name == *topic));
    Ok(actual)
}

fn report(unused: &[UnusedPartitions]) {
    for unused in unused {
        tracing::warn!("{unused}");
        let count = f64::from(unused.actual - unused.recorded);
        metrics::gauge!("postrider_layout_unused_partitions", "topic" => unused.topic.clone()).set(count);
    }
}

fn entry(topic: &str, key: &str, value: Option<Bytes>) -> Outgoing {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Outgoing { topic: Arc::from(topic), partition: Some(0), key, value, headers: Headers::new() }
}

/// Reads to the end. Answers the recorded generation and the keys of the published schemas.
async fn read(reader: &mut TableReader, codec: &Codec) -> Result<(Option<Generation>, Vec<String>), LayoutError> {
    let mut generation = None;
    let mut published = Vec::new();
    loop {
        match reader.next().await {
            Some(TableEvent::Record(record)) => match take(&record, codec)? {
                Taken::Generation(recorded) => generation = Some(recorded),
                Taken::Schema(key) => published.push(key),
                Taken::Nothing => {}
            },
            Some(TableEvent::EndOfPartition) => return Ok((generation, published)),
            Some(TableEvent::Shrunk) => (generation, published) = (None, Vec::new()),
            None => return Err(LayoutError::Topic("its reader ended".to_owned())),
        }
    }
}

enum Taken {
    Generation(Generation),
    Schema(String),
    Nothing,
}

fn take(record: &Record, codec: &Codec) -> Result<Taken, LayoutError> {
    let (Some(key), Some(value)) = (record.key_str(), &record.value) else { return Ok(Taken::Nothing) };
    if key == GENERATION_KEY {
        let generation = serde_json::from_slice(value);
        let generation = generation.map_err(|error| LayoutError::Topic(format!("its '{key}' entry: {error}")))?;
        return Ok(Taken::Generation(generation));
    }
    if key.starts_with(SCHEMA_PREFIX) {
        let learned = codec.learn(&String::from_utf8_lossy(value));
        learned.map_err(|error| LayoutError::Topic(format!("its '{key}' entry: {error}")))?;
        return Ok(Taken::Schema(key.to_owned()));
    }
    Ok(Taken::Nothing)
}

/// Learns schemas as other processes publish them.
fn follow(mut reader: TableReader, codec: Codec, shutdown: Shutdown) {
    tokio::spawn(async move {
        while let Some(Some(event)) = shutdown.hard.run_until_cancelled(reader.next()).await {
            if let TableEvent::Record(record) = event
                && let Err(error) = take(&record, &codec)
            {
                tracing::error!(%error, "an entry of the layout topic is ignored");
            }
        }
    });
}
