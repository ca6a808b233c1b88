//! What a source is.

use postrider_domain::{Priority, TenantId, dedupe::DedupeLimits};
use postrider_kafka::{StartFrom, TopicSelection};

use super::fields::Fields;

/// What events are read from.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Part of event ids and of the consumer group, so it never changes.
    pub name: String,
    /// Its topics.
    pub topics: TopicSelection,
    /// What its records are.
    pub format: SourceFormat,
    /// Where in a record the parts of its event are, where that is not where the format has them.
    pub fields: Fields,
    /// The tenant of records that name none.
    pub tenant: Option<TenantId>,
    /// Where reading begins when the source is started for the first time.
    pub start: StartFrom,
    /// Who goes first when there is not room for all.
    pub priority: Priority,
    /// Whether producers' own duplicates are dropped, and how many events are remembered for that.
    pub dedupe: Option<DedupeLimits>,
}

/// What the records of a source are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SourceFormat {
    /// CloudEvents where a record says so, Avro where it begins like it, else plain JSON.
    #[default]
    Auto,
    /// `{"type", "data", …}`.
    Json,
    /// CloudEvents 1.0, binary or structured, one or a batch.
    CloudEvents,
    /// Avro with the schemas of the registry.
    Avro,
}

impl SourceConfig {
    /// A source of one topic, with the usual settings.
    pub fn new(name: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            topics: TopicSelection::Topic(topic.into()),
            format: SourceFormat::Auto,
            fields: Fields::default(),
            tenant: None,
            start: StartFrom::Earliest,
            priority: Priority::Normal,
            dedupe: None,
        }
    }

    /// What a topic of the source is called where partitions are told apart by source and number: the source's name,
    /// and the topic's behind a `/` if there may be several.
    pub fn reference(&self, topic: &str) -> String {
        match &self.topics {
            TopicSelection::Topic(_) => self.name.clone(),
            TopicSelection::Pattern(_) => format!("{}/{topic}", self.name),
        }
    }

    /// The source and the topic that a [`reference`](Self::reference) is to.
    pub(crate) fn find<'a>(sources: &'a [Self], reference: &str) -> Option<(&'a Self, String)> {
        let (name, topic) = reference.split_once('/').map_or((reference, None), |(name, topic)| (name, Some(topic)));
        let source = sources.iter().find(|source| source.name == name)?;
        match (&source.topics, topic) {
            (TopicSelection::Topic(only), None) => Some((source, only.clone())),
            (TopicSelection::Pattern(pattern), Some(topic)) if pattern.matches(topic) => {
                Some((source, topic.to_owned()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use postrider_kafka::{TopicPattern, Topics};

    use super::*;

    #[test]
    fn a_reference_leads_back_to_its_source_and_topic() {
        let pattern = TopicSelection::Pattern(TopicPattern::new("^shop\\.", Topics::new("p")).unwrap());
        let sources = [
            SourceConfig::new("orders", "orders.v1"),
            SourceConfig { topics: pattern, ..SourceConfig::new("shop", "") },
        ];
        for (source, topic, reference) in
            [(&sources[0], "orders.v1", "orders"), (&sources[1], "shop.carts", "shop/shop.carts")]
        {
            assert_eq!(source.reference(topic), reference);
            let (found, found_topic) = SourceConfig::find(&sources, reference).unwrap();
            assert_eq!((found.name.as_str(), found_topic.as_str()), (source.name.as_str(), topic));
        }
        for unknown in ["shop", "shop/other", "orders/orders.v1", "none"] {
            assert!(SourceConfig::find(&sources, unknown).is_none(), "{unknown}");
        }
    }
}
