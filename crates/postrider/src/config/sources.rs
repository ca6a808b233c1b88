//! `[[sources]]` and `[schema_registry]`: what events are read from.

use std::{collections::BTreeSet, num::NonZeroU32, path::PathBuf, time::Duration};

use postrider_domain::{Priority, TenantId, Timestamp, pattern::validate_event_type};
use postrider_kafka::{RegistryConfig, StartFrom, TopicPattern, TopicSelection, Topics};
use postrider_pipeline::matcher::{FieldFrom, Fields, Pointer};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::values::{Secret, parsed};

/// `[[sources]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// Its name: part of event ids and of its consumer group, so never change it. Required.
    pub name: String,
    /// The topic. This or `topic_pattern` is required.
    #[serde(default)]
    pub topic: Option<String>,
    /// A regular expression that begins with `^`: all topics whose names match, also those that are made later.
    #[serde(default)]
    pub topic_pattern: Option<String>,
    /// What its records are.
    #[serde(default)]
    pub format: SourceFormat,
    /// Where in a record the parts of its event are, if not where the format has them.
    #[serde(default)]
    pub fields: FieldsSection,
    /// The tenant of records that name none.
    #[serde(default, deserialize_with = "parsed")]
    pub tenant: Option<TenantId>,
    /// Where to begin in the partitions that exist when the source is started for the first time.
    #[serde(default)]
    pub start: Start,
    /// Who goes first when there is not room for all.
    #[serde(default)]
    pub priority: Priority,
    /// Drop events whose id was seen of late in the same partition. Unset: every record is an event of its own.
    #[serde(default)]
    pub dedupe: Option<DedupeSection>,
}

/// `fields` of a source.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldsSection {
    /// The event's type.
    pub r#type: Option<FieldPlace>,
    /// The producer's id.
    pub id: Option<FieldPlace>,
    /// When it happened.
    pub time: Option<FieldPlace>,
    /// Whose it is.
    pub tenant: Option<FieldPlace>,
    /// What it is about.
    pub subject: Option<FieldPlace>,
    /// What an ordered endpoint orders by.
    pub ordering_key: Option<FieldPlace>,
    /// The state before the change.
    pub previous: Option<FieldPlace>,
    /// The payload.
    pub payload: Option<FieldPlace>,
}

/// Where a part of an event is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldPlace {
    /// In the header of this name.
    Header(String),
    /// There in the value: a JSON pointer.
    Pointer(String),
    /// It is the record's key.
    Key(bool),
    /// It is the record's time.
    Timestamp(bool),
    /// It is this.
    Constant(String),
}

/// `start` of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Start(pub StartFrom);

/// `dedupe` of a source.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DedupeSection {
    /// How long an id is remembered.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// How many ids are remembered of each partition.
    pub max_ids: NonZeroU32,
}

/// What the records of a source are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    /// `CloudEvents` where a record says so, Avro where it begins like it, else plain JSON.
    #[default]
    Auto,
    /// `{"type", "data", …}`.
    Json,
    /// `CloudEvents` 1.0, binary, structured or batches.
    Cloudevents,
    /// Avro with the schemas of the registry.
    Avro,
}

/// `[schema_registry]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemaRegistrySection {
    /// The base of its API, as Confluent's has it; of Apicurio it ends in `/apis/ccompat/v7`.
    pub url: Option<String>,
    /// Basic authentication: the user.
    pub username: Option<String>,
    /// Basic authentication: the password.
    pub password: Option<Secret>,
    /// A file that holds `password`.
    pub password_file: Option<PathBuf>,
    /// A file of PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Files (`.avsc`) with schemas of records in Avro's single-object encoding.
    pub schema_files: Vec<PathBuf>,
    /// Subjects of the registry whose schemas records in Avro's single-object encoding may have.
    pub subjects: Vec<String>,
}

impl SchemaRegistrySection {
    /// What to turn Avro into JSON with; none if nothing is configured.
    pub fn registry(&self) -> Option<RegistryConfig> {
        (self.url.is_some() || !self.schema_files.is_empty()).then(|| RegistryConfig {
            url: self.url.clone(),
            username: self.username.clone(),
            password: self.password.as_ref().map(|password| password.reveal().to_owned()),
            ca_file: self.ca_file.clone(),
            schema_files: self.schema_files.clone(),
            subjects: self.subjects.clone(),
            ..RegistryConfig::default()
        })
    }
}

impl Default for DedupeSection {
    fn default() -> Self {
        const MAX_IDS: NonZeroU32 = NonZeroU32::new(100_000).expect("a default count is not zero");
        Self { window: Duration::from_mins(10), max_ids: MAX_IDS }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Self(StartFrom::Earliest)),
            "latest" => Ok(Self(StartFrom::Latest)),
            other => Timestamp::parse_rfc3339(other).map(|at| Self(StartFrom::Time(at))).ok_or_else(|| {
                let expected = "write \"earliest\", \"latest\" or a time such as \"2026-01-31T12:00:00Z\"";
                D::Error::custom(format!("'{other}' is no place to start: {expected}"))
            }),
        }
    }
}

/// What is wrong with a source: its key, and what, with how to mend it.
pub type Wrong = (&'static str, String);

impl SourceSection {
    /// The topics that it reads, none of which is among `own`.
    pub fn selection(&self, own: Topics) -> Result<TopicSelection, Wrong> {
        match (&self.topic, &self.topic_pattern) {
            (Some(topic), None) if own.are_own(topic) => {
                Err(("topic", format!("is '{topic}', one of Postrider's own topics: name one of yours")))
            }
            (Some(topic), None) if !is_topic(topic) => Err(("topic", "is not the name of a topic".to_owned())),
            (Some(topic), None) => Ok(TopicSelection::Topic(topic.clone())),
            (None, Some(pattern)) => TopicPattern::new(pattern, own)
                .map(TopicSelection::Pattern)
                .map_err(|error| ("topic_pattern", error.to_string())),
            (Some(_), Some(_)) => Err(("topic_pattern", "and topic are both set: set one of them".to_owned())),
            (None, None) => Err(("topic", "is missing: name the topic, or set topic_pattern".to_owned())),
        }
    }

    /// Where the parts of its events are.
    pub fn fields(&self) -> Result<Fields, Wrong> {
        let section = &self.fields;
        let constant = |place: &FieldPlace| match place {
            FieldPlace::Constant(text) => Some(text.clone()),
            _ => None,
        };
        if let Some(event_type) = section.r#type.as_ref().and_then(constant) {
            validate_event_type(&event_type).map_err(|error| ("fields.type", format!("is no event type: {error}")))?;
        }
        if let Some(tenant) = section.tenant.as_ref().and_then(constant) {
            tenant.parse::<TenantId>().map_err(|error| ("fields.tenant", format!("is no tenant: {error}")))?;
        }
        Ok(Fields {
            event_type: place("fields.type", section.r#type.as_ref(), &TEXT_OR_CONSTANT)?,
            id: place("fields.id", section.id.as_ref(), &TEXT)?,
            time: place("fields.time", section.time.as_ref(), &["header", "pointer", "timestamp"])?,
            tenant: place("fields.tenant", section.tenant.as_ref(), &TEXT_OR_CONSTANT)?,
            subject: place("fields.subject", section.subject.as_ref(), &TEXT_OR_CONSTANT)?,
            ordering_key: place("fields.ordering_key", section.ordering_key.as_ref(), &TEXT_OR_CONSTANT)?,
            previous: place("fields.previous", section.previous.as_ref(), &JSON)?,
            payload: place("fields.payload", section.payload.as_ref(), &JSON)?,
        })
    }

    /// Everything that is wrong in itself.
    fn check(&self, own: Topics) -> Result<(), Wrong> {
        if self.name.is_empty() || !is_topic(&self.name) {
            return Err(("name", "must be letters, digits, '.', '_' and '-'".to_owned()));
        }
        self.selection(own)?;
        self.fields()?;
        if self.dedupe.is_some_and(|dedupe| dedupe.window.is_zero()) {
            return Err(("dedupe", "has a window of zero: use at least \"1s\", or no dedupe at all".to_owned()));
        }
        Ok(())
    }
}

const TEXT: [&str; 3] = ["header", "pointer", "key"];
const TEXT_OR_CONSTANT: [&str; 4] = ["header", "pointer", "key", "constant"];
const JSON: [&str; 3] = ["header", "pointer", "key"];

fn place(key: &'static str, place: Option<&FieldPlace>, allowed: &[&'static str]) -> Result<Option<FieldFrom>, Wrong> {
    let Some(place) = place else { return Ok(None) };
    if !allowed.contains(&place.kind()) {
        let problem = format!("can't be a {}: use {}", place.kind(), allowed.join(", "));
        return Err((key, problem));
    }
    match place {
        FieldPlace::Header(name) if name.is_empty() => Err((key, "has a header without a name".to_owned())),
        FieldPlace::Header(name) => Ok(Some(FieldFrom::Header(name.clone()))),
        FieldPlace::Pointer(text) => {
            let pointer: Pointer = text.parse().map_err(|error| (key, format!("has the pointer '{text}': {error}")))?;
            Ok(Some(FieldFrom::Pointer(pointer)))
        }
        FieldPlace::Key(true) => Ok(Some(FieldFrom::Key)),
        FieldPlace::Timestamp(true) => Ok(Some(FieldFrom::Timestamp)),
        FieldPlace::Key(false) | FieldPlace::Timestamp(false) => {
            Err((key, format!("is {} = false: write true, or leave it out", place.kind())))
        }
        FieldPlace::Constant(text) => Ok(Some(FieldFrom::Constant(text.clone()))),
    }
}

impl FieldPlace {
    fn kind(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Pointer(_) => "pointer",
            Self::Key(_) => "key",
            Self::Timestamp(_) => "timestamp",
            Self::Constant(_) => "constant",
        }
    }
}

/// Checks all sources. Error: the number of the one that is wrong, its key, and what is wrong.
pub fn check(
    sources: &[SourceSection],
    registry: &SchemaRegistrySection,
    topic_prefix: &str,
    built_in: &str,
) -> Result<(), (usize, Wrong)> {
    let mut names = BTreeSet::from([built_in]);
    for (index, source) in sources.iter().enumerate() {
        source.check(Topics::new(topic_prefix)).map_err(|wrong| (index, wrong))?;
        if source.name == built_in {
            let problem = format!("is '{built_in}', the name of the source that always exists: choose another");
            return Err((index, ("name", problem)));
        }
        if !names.insert(&source.name) {
            let problem = format!("is '{}', which another source has: names must differ", source.name);
            return Err((index, ("name", problem)));
        }
        if source.format == SourceFormat::Avro && registry.registry().is_none() {
            return Err((index, ("format", "is avro, which needs schemas: set schema_registry.url".to_owned())));
        }
    }
    Ok(())
}

fn is_topic(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(super::validate::is_topic_byte)
}
