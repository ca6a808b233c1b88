//! A subscription: which events an endpoint wants.

use serde::{Deserialize, Serialize};

use crate::{EndpointId, SubscriptionId, TenantId, Timestamp, filter::Filter, mapping::Mapping, pattern::TypePattern};

/// Which events one endpoint wants. Several subscriptions of one endpoint that match the same event lead
/// to one delivery, decided by the oldest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The tenant that owns it and its endpoint.
    pub tenant: TenantId,
    /// The endpoint that it belongs to.
    pub endpoint: EndpointId,
    /// At least one; any of them may match.
    pub event_types: Vec<TypePattern>,
    /// What must hold besides the type; none means everything matches.
    pub filter: Option<Filter>,
    /// What is sent instead of the endpoint's usual request; none means that.
    #[serde(default)]
    pub mapping: Option<Mapping>,
    /// When it was made: the oldest of several matching subscriptions decides.
    pub created_at: Timestamp,
}
