//! The sources of events, as configured, and what their records are decoded with.

use std::sync::Arc;

use postrider_control::replays::Source;
use postrider_domain::dedupe::DedupeLimits;
use postrider_kafka::{TopicSelection, Topics};
use postrider_pipeline::matcher::{self, Schemas, SourceConfig};

use super::data_plane::in_memory;
use crate::config::{BUILT_IN_SOURCE, Config, ConfigError, Loaded, SourceFormat, SourceSection};

/// The source that always is, and the configured ones.
pub fn sources(config: &Config) -> Vec<SourceConfig> {
    let built_in = SourceConfig::new(BUILT_IN_SOURCE, Topics::new(&config.kafka.topic_prefix).events());
    std::iter::once(built_in).chain(config.sources.iter().map(|section| source(section, config))).collect()
}

fn source(section: &SourceSection, config: &Config) -> SourceConfig {
    const CHECKED: &str = "sources were checked when the configuration was read";
    SourceConfig {
        name: section.name.clone(),
        topics: section.selection(Topics::new(&config.kafka.topic_prefix)).expect(CHECKED),
        format: match section.format {
            SourceFormat::Auto => matcher::SourceFormat::Auto,
            SourceFormat::Json => matcher::SourceFormat::Json,
            SourceFormat::Cloudevents => matcher::SourceFormat::CloudEvents,
            SourceFormat::Avro => matcher::SourceFormat::Avro,
        },
        fields: section.fields().expect(CHECKED),
        tenant: section.tenant.clone(),
        start: section.start.0,
        priority: section.priority,
        dedupe: section.dedupe.map(|dedupe| DedupeLimits { window: dedupe.window, max_ids: in_memory(dedupe.max_ids) }),
    }
}

/// A source's topic, as replays call it; of a source with a pattern of topics, the one that is named.
pub fn replay_source(config: &Config, name: &str, topic: Option<&str>) -> Result<Source, String> {
    let sources = sources(config);
    let Some(source) = sources.iter().find(|source| source.name == name) else {
        let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        return Err(format!("there is no source '{name}' in the configuration; there are: {}", known.join(", ")));
    };
    let topic = match (&source.topics, topic) {
        (TopicSelection::Topic(only), None) => only.clone(),
        (TopicSelection::Pattern(_), None) => {
            return Err(format!("source '{name}' has a pattern of topics: name the topic too"));
        }
        (selection, Some(topic)) if selection.has(topic) => topic.to_owned(),
        (_, Some(topic)) => return Err(format!("'{topic}' is not a topic of source '{name}'")),
    };
    Ok(Source { name: source.reference(&topic), topic })
}

/// What turns Avro into JSON, if it is configured.
pub fn schemas(loaded: &Loaded) -> Result<Option<Arc<dyn Schemas>>, ConfigError> {
    Ok(loaded.schema_registry()?.map(|registry| Arc::new(registry) as Arc<dyn Schemas>))
}
