//! The names and kinds of Postrider's topics.

use std::sync::Arc;

use postrider_domain::tier::{Tier, Tiers};

/// The names of the internal topics of one deployment: a prefix and a fixed suffix each.
#[derive(Debug, Clone)]
pub struct Topics {
    prefix: Arc<str>,
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

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Topics {
    /// The topics whose names start with `prefix` and a dot.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix, without its dot.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn named(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.prefix)
    }

    /// What the HTTP publish API writes to: a source like any other.
    pub fn events(&self) -> String {
        self.named("events")
    }

    /// Deliveries that are to be made.
    pub fn deliveries(&self) -> String {
        self.named("deliveries")
    }

    /// Deliveries that wait for a tier's delay.
    pub fn retry(&self, tier: &Tier) -> String {
        self.named(&format!("retry.{}", tier.name()))
    }

    /// Deliveries that wait for their endpoint: paused, disabled, or far behind.
    pub fn held(&self) -> String {
        self.named("held")
    }

    /// What the owners of partitions remember of endpoints.
    pub fn endpoint_state(&self) -> String {
        self.named("endpoint-state")
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
