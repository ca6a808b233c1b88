//! `postrider.layout`: the Avro schemas and partition counts that every process of a deployment shares.
//!
//! Read in every role before its first produce or consume. Keys `schema:<fingerprint>` hold schemas,
//! `generation` the partition counts as they were recorded, right after the topics were made, `resize` which generation
//! of the topics of endpoints' homes is in use, and whether everything is being moved to the next.

mod editor;
mod generation;
mod resize;
mod standing;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use postrider_domain::tier::Tiers;
use tokio::sync::watch;

pub use editor::LayoutEditor;
pub use generation::UnusedPartitions;
use generation::{Generation, reconcile};
pub use resize::{NextGeneration, Resize, Standing};
use standing::{Followed, Watch};

use crate::{
    AdminError, Codec, Headers, KafkaConfig, Outgoing, ProduceError, Producer, Record, SettingProblem, Shutdown,
    TableEvent, TableReader, TopicSettings, TopicSpec, Topics, admin, partition_for_key,
};

const GENERATION_KEY: &str = "generation";
const RESIZE_KEY: &str = "resize";
const SCHEMA_PREFIX: &str = "schema:";
/// A tombstone under this key is written at every start: its acknowledgement teaches the brokers' time. And whoever has
/// to be sure of what the layout says writes one, and reads up to it.
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
    topics: Topics,
    partitions: Arc<HashMap<String, i32>>,
    codec: Codec,
    watch: Watch,
}

impl Layout {
    /// Makes missing topics (if told how), checks existing ones, reads the layout, adds what is missing to it,
    /// and follows it until `shutdown`. `topics` tells the prefix; which generation is in use is read.
    pub async fn open(
        kafka: &KafkaConfig,
        topics: &Topics,
        tiers: &Tiers,
        create: Option<TopicSettings>,
        producer: &Producer,
        shutdown: &Shutdown,
    ) -> Result<Self, LayoutError> {
        let (codec, mut entries) = (Codec::new(), Entries::default());
        let mut reader = read_existing(kafka, topics, &codec, &mut entries).await?;
        let topics = topics.at(entries.followed.resize.generation);
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
        if reader.is_none() {
            let mut started = TableReader::start(kafka, &topics.layout()).map_err(LayoutError::Topic)?;
            read(&mut started, &codec, &mut entries).await?;
            reader = Some(started);
        }
        let reader = reader.expect("it was started");
        let (generation, unused) =
            reconcile(entries.recorded_for(&topics).as_ref(), &counts(kafka, &specs).await?, &topics)?;
        report(&unused);
        let layout = topics.layout();
        if entries.recorded.as_ref() != Some(&generation) {
            let text = serde_json::to_vec(&generation).expect("counts are JSON");
            producer.send(&entry(&layout, GENERATION_KEY, Some(text.into()))).await?;
        }
        for (fingerprint, json) in codec.own_schemas() {
            let key = format!("{SCHEMA_PREFIX}{fingerprint}");
            if !entries.schemas.contains(&key) {
                producer.send(&entry(&layout, &key, Some(json.into()))).await?;
            }
        }
        producer.send(&entry(&layout, CLOCK_KEY, None)).await?;
        // Nothing is ever resized on the in-process broker, which has no compaction either.
        let asks = (!kafka.embedded).then(|| (producer.clone(), layout.into()));
        let watch = Watch::new(topics.generation(), entries.followed, asks);
        follow(reader, codec.clone(), watch.followed(), shutdown.clone());
        Ok(Self { topics, partitions: Arc::new(generation.partitions.into_iter().collect()), codec, watch })
    }

    /// A layout without a broker behind it, for a stage's own tests: every topic has `partitions`.
    pub fn for_test(topics: &Topics, tiers: &Tiers, partitions: i32) -> Self {
        let counts = topics.specs(tiers).into_iter().map(|spec| (spec.name, partitions));
        let watch = Watch::new(0, Followed::default(), None);
        Self { topics: topics.clone(), partitions: Arc::new(counts.collect()), codec: Codec::new(), watch }
    }

    /// Lets the layout of a stage's own test say this, as if it had been read.
    pub fn say_for_test(&self, resize: Resize) {
        self.watch.followed().send_modify(|followed| followed.resize = resize);
    }

    /// This layout as it will be in the generation that is being made.
    #[must_use]
    pub fn moved_to(&self, next: NextGeneration) -> Self {
        let topics = self.topics.at(next.generation);
        let mut partitions = HashMap::clone(&self.partitions);
        partitions.extend(topics.co_partitioned().map(|topic| (topic, next.partitions)));
        let watch = Watch::new(next.generation, Followed::default(), None);
        Self { topics, partitions: Arc::new(partitions), codec: self.codec.clone(), watch }
    }

    /// The topics' names, in the generation that was in use when this was opened.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// How the generation that was in use when this was opened stands, as far as is known.
    pub fn standing(&self) -> Standing {
        self.watch.standing()
    }

    /// Waits until the generation stands so.
    pub async fn wait_until(&self, is_so: impl Fn(Standing) -> bool) -> Standing {
        self.watch.wait_until(is_so).await
    }

    /// Whether the generation is in use, for sure: asked by a member of a consumer group before it works. Either it is
    /// told of the resize that has begun, or whoever resizes sees it in the group. Error: the layout can't be asked.
    pub async fn is_surely_in_use(&self) -> Result<bool, ProduceError> {
        self.watch.is_surely_in_use().await
    }

    /// The same, for what is asked over and over: an answer counts for less than a session of a group. Asked between
    /// the acknowledgement of what was written into a generation and a note that it is done, where no group's
    /// membership fences the note.
    pub async fn was_lately_in_use(&self) -> Result<bool, ProduceError> {
        self.watch.was_lately_in_use().await
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

/// The names of the topics in the generation that is in use.
pub async fn topics_in_use(kafka: &KafkaConfig, topics: &Topics) -> Result<Topics, LayoutError> {
    let mut entries = Entries::default();
    read_existing(kafka, topics, &Codec::new(), &mut entries).await?;
    Ok(topics.at(entries.followed.resize.generation))
}

/// What decodes the deployment's records, for whoever only reads them; none if there is no deployment.
pub async fn codec_of(kafka: &KafkaConfig, topics: &Topics) -> Result<Option<Codec>, LayoutError> {
    let codec = Codec::new();
    let read = read_existing(kafka, topics, &codec, &mut Entries::default()).await?;
    Ok(read.map(|_| codec))
}

/// Partitions that were added to `topics` by hand, by what the layout has recorded. The layout topic must exist.
pub async fn unused_partitions(
    kafka: &KafkaConfig,
    topics: &Topics,
    tiers: &Tiers,
) -> Result<Vec<UnusedPartitions>, LayoutError> {
    let mut entries = Entries::default();
    read_existing(kafka, topics, &Codec::new(), &mut entries).await?;
    let recorded = entries.recorded_for(topics);
    let (_, unused) = reconcile(recorded.as_ref(), &counts(kafka, &topics.specs(tiers)).await?, topics)?;
    Ok(unused)
}

/// Reads the layout, if there is one.
async fn read_existing(
    kafka: &KafkaConfig,
    topics: &Topics,
    codec: &Codec,
    entries: &mut Entries,
) -> Result<Option<TableReader>, LayoutError> {
    if admin::partition_count(kafka, &topics.layout()).await?.is_none() {
        return Ok(None);
    }
    let mut reader = TableReader::start(kafka, &topics.layout()).map_err(LayoutError::Topic)?;
    read(&mut reader, codec, entries).await?;
    Ok(Some(reader))
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

/// What the layout topic says, but for the schemas themselves.
#[derive(Debug, Default)]
struct Entries {
    recorded: Option<Generation>,
    /// The keys of the published schemas.
    schemas: HashSet<String>,
    followed: Followed,
}

impl Entries {
    /// The counts to route by in the generation of `topics`.
    fn recorded_for(&self, topics: &Topics) -> Option<Generation> {
        let partitions = self.followed.resize.partitions;
        match (&self.recorded, partitions) {
            (None, None) => None,
            (recorded, partitions) => Some(recorded.clone().unwrap_or_default().of_generation(topics, partitions)),
        }
    }
}

/// Reads to the end.
async fn read(reader: &mut TableReader, codec: &Codec, entries: &mut Entries) -> Result<(), LayoutError> {
    loop {
        match reader.next().await {
            Some(TableEvent::Record(record)) => {
                match take(&record, codec)? {
                    Taken::Generation(recorded) => entries.recorded = Some(recorded),
                    Taken::Schema(key) => drop(entries.schemas.insert(key)),
                    Taken::Resize(resize) => entries.followed.resize = resize,
                    Taken::Nothing => {}
                }
                entries.followed.next_offset = record.offset + 1;
            }
            Some(TableEvent::EndOfPartition) => return Ok(()),
            Some(TableEvent::Shrunk) => *entries = Entries::default(),
            None => return Err(LayoutError::Topic("its reader ended".to_owned())),
        }
    }
}

enum Taken {
    Generation(Generation),
    Resize(Resize),
    Schema(String),
    Nothing,
}

fn take(record: &Record, codec: &Codec) -> Result<Taken, LayoutError> {
    let (Some(key), Some(value)) = (record.key_str(), &record.value) else { return Ok(Taken::Nothing) };
    let broken = |error: &dyn std::fmt::Display| LayoutError::Topic(format!("its '{key}' entry: {error}"));
    if key == GENERATION_KEY {
        return serde_json::from_slice(value).map(Taken::Generation).map_err(|error| broken(&error));
    }
    if key == RESIZE_KEY {
        return serde_json::from_slice(value).map(Taken::Resize).map_err(|error| broken(&error));
    }
    if key.starts_with(SCHEMA_PREFIX) {
        codec.learn(&String::from_utf8_lossy(value)).map_err(|error| broken(&error))?;
        return Ok(Taken::Schema(key.to_owned()));
    }
    Ok(Taken::Nothing)
}

/// Learns schemas as other processes publish them, and what becomes of the generation.
fn follow(mut reader: TableReader, codec: Codec, followed: Arc<watch::Sender<Followed>>, shutdown: Shutdown) {
    tokio::spawn(async move {
        while let Some(Some(event)) = shutdown.hard.run_until_cancelled(reader.next()).await {
            let TableEvent::Record(record) = event else { continue };
            let taken = take(&record, &codec);
            if let Err(error) = &taken {
                tracing::error!(%error, "an entry of the layout topic is ignored");
            }
            followed.send_modify(|followed| {
                followed.next_offset = record.offset + 1;
                if let Ok(Taken::Resize(resize)) = taken {
                    followed.resize = resize;
                }
            });
        }
    });
}
