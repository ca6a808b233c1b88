//! What somebody asks to be replayed.

use postrider_domain::{
    EndpointId, SubscriptionId, TenantId, Timestamp,
    replay::{DeadLetterQuery, RejectedQuery},
};

/// A replay that is asked for. Where it reads is decided when it is made.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Whose; none: an operator's, over all tenants.
    pub tenant: Option<TenantId>,
    /// What.
    pub what: What,
    /// Only count, and show a sample.
    pub dry_run: bool,
    /// Deliveries a second at most.
    pub rate_per_second: u32,
    /// Who asks.
    pub created_by: String,
}

/// What is to be replayed.
#[derive(Debug, Clone)]
pub enum What {
    /// Dead letters; `ranges` is filled in.
    DeadLetters(DeadLetterQuery),
    /// Rejected records; `ranges` is filled in.
    Rejected(RejectedQuery),
    /// Events of a source.
    Backfill {
        /// The source.
        source: Source,
        /// For whom.
        of: BackfillOf,
        /// Events at or after this.
        since: Timestamp,
        /// Events before this.
        until: Option<Timestamp>,
    },
}

/// A configured source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
}

/// For whom events are backfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackfillOf {
    /// All subscriptions of an endpoint, up to now.
    Endpoint(EndpointId),
    /// One subscription, up to where the live matcher began to match it.
    Subscription(SubscriptionId),
}
