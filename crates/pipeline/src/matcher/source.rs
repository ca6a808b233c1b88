//! What a source is.

use postrider_domain::{TenantId, dedupe::DedupeLimits};

/// A topic that events are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Part of event ids and of the consumer group, so it never changes.
    pub name: String,
    /// The topic.
    pub topic: String,
    /// What its records are.
    pub format: SourceFormat,
    /// The tenant of records that name none.
    pub tenant: Option<TenantId>,
    /// Whether producers' own duplicates are dropped, and how many events are remembered for that.
    pub dedupe: Option<DedupeLimits>,
}

/// What the records of a source are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SourceFormat {
    /// CloudEvents where a record says so, else plain JSON.
    #[default]
    Auto,
    /// `{"type", "data", …}`.
    Json,
    /// CloudEvents 1.0, binary or structured.
    CloudEvents,
}
