//! The sources of events, as configured, and what their records are decoded with.

use std::sync::Arc;

use postrider_domain::dedupe::DedupeLimits;
use postrider_kafka::Topics;
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

/// What turns Avro into JSON, if it is configured.
pub fn schemas(loaded: &Loaded) -> Result<Option<Arc<dyn Schemas>>, ConfigError> {
    Ok(loaded.schema_registry()?.map(|registry| Arc::new(registry) as Arc<dyn Schemas>))
}
