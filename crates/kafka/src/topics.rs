//! The names and kinds of Postrider's topics.

use std::sync::Arc;

use postrider_domain::tier::{Tier, Tiers};

/// The names of the internal topics of one deployment: a prefix and a fixed suffix each; those whose partition is an
/// endpoint's home have their generation's number behind it, from the second generation on.
#[derive(Debug, Clone)]
pub struct Topics {
    prefix: Arc<str>,
    generation: u32,
}

/// Held partitions of one generation that the log can tell from those of another.
const HELD_PLACES_PER_GENERATION: i32 = 100_000;

/// A number for a partition of a held topic that no partition of another generation has: by it the log knows where a
/// delivery is held, also when offsets begin anew.
pub fn held_place(topic: &str, partition: i32) -> i32 {
    let generation = topic.rsplit_once(".g").and_then(|(_, number)| number.parse::<i32>().ok()).unwrap_or(0);
    generation.wrapping_mul(HELD_PLACES_PER_GENERATION).wrapping_add(partition)
}

/// How a topic is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cleanup {
    /// Only the newest record of each key.
    Compact,
    /// Everything, for this long.
    Delete {
        /// Milliseconds.
        retention_ms: i64,
    },
}

/// A topic as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    pub(crate) cleanup: Cleanup,
    /// One partition whatever the configuration says.
    pub single_partition: bool,
}

/// The names, without prefix, of the topics that have neither generations nor tiers.
const SINGLE_NAMES: [&str; 9] =
    ["events", "delivery-events", "dlq", "rejected", "overrides", "jobs", "progress", "config", "layout"];

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Topics {
    /// The topics whose names start with `prefix` and a dot, as they are before any resize.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into(), generation: 0 }
    }

    /// The same in another generation.
    #[must_use]
    pub fn at(&self, generation: u32) -> Self {
        Self { prefix: self.prefix.clone(), generation }
    }

    /// Which generation's names these are.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The prefix, without its dot.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn named(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.prefix)
    }

    fn generational(&self, suffix: &str) -> String {
        match self.generation {
            0 => self.named(suffix),
            generation => self.named(&format!("{suffix}.g{generation}")),
        }
    }

    /// What the HTTP publish API writes to: a source like any other.
    pub fn events(&self) -> String {
        self.named("events")
    }

    /// Deliveries that are to be made.
    pub fn deliveries(&self) -> String {
        self.generational("deliveries")
    }

    /// Deliveries that wait for a tier's delay.
    pub fn retry(&self, tier: &Tier) -> String {
        self.named(&format!("retry.{}", tier.name()))
    }

    /// Deliveries that wait for their endpoint: paused, disabled, or far behind.
    pub fn held(&self) -> String {
        self.generational("held")
    }

    /// What the owners of partitions remember of endpoints.
    pub fn endpoint_state(&self) -> String {
        self.generational("endpoint-state")
    }

    /// What happened to deliveries.
    pub fn delivery_events(&self) -> String {
        self.named("delivery-events")
    }

    /// Deliveries that ended without success.
    pub fn dlq(&self) -> String {
        self.named("dlq")
    }

    /// Records that could not be understood.
    pub fn rejected(&self) -> String {
        self.named("rejected")
    }

    /// Orders about deliveries that wait where nobody can reach them.
    pub fn overrides(&self) -> String {
        self.named("overrides")
    }

    /// Replay jobs: who owns a partition runs its jobs.
    pub fn jobs(&self) -> String {
        self.named("jobs")
    }

    /// How far replay jobs have come, and where the live matcher began to match by a version.
    pub fn progress(&self) -> String {
        self.named("progress")
    }

    /// The directory.
    pub fn config(&self) -> String {
        self.named("config")
    }

    /// Schemas and partition counts.
    pub fn layout(&self) -> String {
        self.named("layout")
    }

    /// A consumer group of this deployment.
    pub fn group(&self, name: &str) -> String {
        self.named(name)
    }

    /// The dispatchers' consumer group: one for each generation, whose offsets never meet.
    pub fn dispatcher_group(&self) -> String {
        self.generational("dispatcher")
    }

    /// Whether `topic` is one of these, in whatever generation and with whatever tiers.
    pub fn are_own(&self, topic: &str) -> bool {
        let Some(name) = topic.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        let number = |name: &str| Some(name.split_once(".g")?.1.parse::<u32>().is_ok());
        let first = name.split_once(".g").map_or(name, |(first, _)| first);
        let of_a_generation = ["deliveries", "held", "endpoint-state"].contains(&first);
        SINGLE_NAMES.contains(&name) || name.starts_with("retry.") || (of_a_generation && number(name).unwrap_or(true))
    }

    /// Whether `group` is one whose members read or write the topics of a generation.
    pub fn is_bound_to_generation(&self, group: &str) -> bool {
        let Some(name) = group.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        name == "replayer"
            || name == "dispatcher"
            || ["dispatcher.g", "matcher.", "retrier."].iter().any(|start| name.starts_with(start))
    }

    /// Whether a topic has its name from another generation than this.
    pub(crate) fn is_of_another_generation(&self, topic: &str) -> bool {
        let first = self.at(0).co_partitioned();
        let of_any = first.iter().any(|name| {
            let number = topic.strip_prefix(name.as_str()).map(|rest| rest.strip_prefix(".g").unwrap_or(rest));
            number.is_some_and(|number| number.is_empty() || number.parse::<u32>().is_ok())
        });
        of_any && !self.co_partitioned().iter().any(|name| name == topic)
    }

    /// The topics whose partition is an endpoint's home: who owns it in the first owns it in all, so that they have
    /// the same number of partitions.
    pub fn co_partitioned(&self) -> [String; 3] {
        [self.deliveries(), self.held(), self.endpoint_state()]
    }

    /// Every topic that must exist, as it must be.
    pub fn specs(&self, tiers: &Tiers) -> Vec<TopicSpec> {
        let kept = |name: String, days: i64| TopicSpec {
            name,
            cleanup: Cleanup::Delete { retention_ms: days * DAY_MS },
            single_partition: false,
        };
        let table = |name: String, single_partition| TopicSpec { name, cleanup: Cleanup::Compact, single_partition };
        let mut specs = vec![
            table(self.layout(), true),
            table(self.config(), true),
            kept(self.events(), 7),
            kept(self.deliveries(), 7),
            kept(self.held(), 30),
            table(self.endpoint_state(), false),
            table(self.overrides(), true),
            table(self.jobs(), false),
            table(self.progress(), true),
            kept(self.delivery_events(), 7),
            kept(self.dlq(), 30),
            kept(self.rejected(), 30),
        ];
        specs.extend(tiers.iter().map(|tier| {
            let tier_ms = i64::try_from(tier.delay().as_millis()).unwrap_or(i64::MAX - 7 * DAY_MS);
            TopicSpec {
                name: self.retry(tier),
                cleanup: Cleanup::Delete { retention_ms: tier_ms + 7 * DAY_MS },
                single_partition: false,
            }
        }));
        specs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_has_topics_a_group_and_held_places_of_its_own() {
        let (first, second) = (Topics::new("p"), Topics::new("p").at(2));
        assert_eq!(first.co_partitioned(), ["p.deliveries", "p.held", "p.endpoint-state"]);
        assert_eq!(second.co_partitioned(), ["p.deliveries.g2", "p.held.g2", "p.endpoint-state.g2"]);
        assert_eq!(
            (first.dispatcher_group(), second.dispatcher_group()),
            ("p.dispatcher".into(), "p.dispatcher.g2".into())
        );
        assert_eq!((first.dlq(), first.events()), (second.dlq(), second.events()));
        assert_eq!((held_place(&first.held(), 3), held_place(&second.held(), 3)), (3, 200_003));
        assert_eq!(held_place("a.g7.held", 3), 3);
    }

    #[test]
    fn every_topic_of_ours_is_known_as_such() {
        for topics in [Topics::new("p"), Topics::new("p").at(7)] {
            for spec in topics.specs(&Tiers::default()) {
                assert!(Topics::new("p").are_own(&spec.name), "{}", spec.name);
            }
        }
        for topic in ["shop.orders", "p", "p.orders", "p.held.gx", "px.events", "p.events.g1"] {
            assert!(!Topics::new("p").are_own(topic), "{topic}");
        }
    }

    #[test]
    fn topics_and_groups_of_generations_are_told_from_others() {
        let topics = Topics::new("p").at(1);
        for (topic, expected) in
            [("p.held", true), ("p.held.g2", true), ("p.held.g1", false), ("p.dlq", false), ("p.held.old", false)]
        {
            assert_eq!(topics.is_of_another_generation(topic), expected, "{topic}");
        }
        for (group, expected) in [
            ("p.dispatcher", true),
            ("p.dispatcher.g1", true),
            ("p.matcher.events", true),
            ("p.retrier.5s", true),
            ("p.replayer", true),
            ("p.projector", false),
            ("px.replayer", false),
        ] {
            assert_eq!(topics.is_bound_to_generation(group), expected, "{group}");
        }
    }
}
