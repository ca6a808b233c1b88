//! Which subscriptions an event could match, without looking at all of them.

use std::sync::Arc;

use crate::{Subscription, SubscriptionId, TenantId};

/// Subscriptions by tenant and event type. Cost of a look-up grows with what it returns.
#[derive(Debug, Default)]
pub struct SubscriptionIndex {}

impl SubscriptionIndex {
    /// Adds a subscription, or replaces the one with its id.
    pub fn insert(&mut self, subscription: Arc<Subscription>) { todo!() }

    /// Removes a subscription; nothing if there is none with that id.
    pub fn remove(&mut self, id: &SubscriptionId) { todo!() }

    /// The subscriptions of `tenant` with a pattern that matches `event_type`, each once, in no order.
    pub fn candidates(&self, tenant: &TenantId, event_type: &str) -> Vec<Arc<Subscription>> { todo!() }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize { todo!() }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool { self.len() == 0 }
}
