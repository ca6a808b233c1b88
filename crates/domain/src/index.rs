//! Which subscriptions an event could match, without looking at all of them.

use std::{collections::HashMap, sync::Arc};

use crate::{Subscription, SubscriptionId, TenantId, pattern::TypePattern};

/// Subscriptions by tenant and event type. Cost of a look-up grows with what it returns, and with the number of
/// dots in the type.
#[derive(Debug, Default)]
pub struct SubscriptionIndex {
    by_id: HashMap<SubscriptionId, Arc<Subscription>>,
    tenants: HashMap<TenantId, ByType>,
}

/// The subscriptions of one pattern. A map, so that an edit costs the same however many there are.
type Bucket = HashMap<SubscriptionId, Arc<Subscription>>;

/// The subscriptions of one tenant, by each of their patterns.
#[derive(Debug, Default)]
struct ByType {
    exact: HashMap<String, Bucket>,
    /// By prefix with its final dot.
    prefix: HashMap<String, Bucket>,
    any: Bucket,
}

impl SubscriptionIndex {
    /// Adds a subscription, or replaces the one with its id.
    pub fn insert(&mut self, subscription: Arc<Subscription>) {
        self.remove(&subscription.id);
        let tenant = self.tenants.entry(subscription.tenant.clone()).or_default();
        for pattern in &subscription.event_types {
            tenant.bucket(pattern).insert(subscription.id.clone(), subscription.clone());
        }
        self.by_id.insert(subscription.id.clone(), subscription);
    }

    /// Removes a subscription; nothing if there is none with that id.
    pub fn remove(&mut self, id: &SubscriptionId) {
        let Some(subscription) = self.by_id.remove(id) else { return };
        let Some(tenant) = self.tenants.get_mut(&subscription.tenant) else { return };
        for pattern in &subscription.event_types {
            tenant.remove(pattern, id);
        }
        if tenant.is_empty() {
            self.tenants.remove(&subscription.tenant);
        }
    }

    /// The subscriptions of `tenant` with a pattern that matches `event_type`, each once, in no order.
    pub fn candidates(&self, tenant: &TenantId, event_type: &str) -> Vec<Arc<Subscription>> {
        let Some(tenant) = self.tenants.get(tenant) else { return Vec::new() };
        let mut found: Vec<_> = tenant.buckets(event_type).flat_map(HashMap::values).cloned().collect();
        // One with several patterns may be in several buckets.
        found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        found
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ByType {
    fn bucket(&mut self, pattern: &TypePattern) -> &mut Bucket {
        match pattern {
            TypePattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            TypePattern::Prefix(prefix) => self.prefix.entry(prefix.clone()).or_default(),
            TypePattern::Any => &mut self.any,
        }
    }

    fn remove(&mut self, pattern: &TypePattern, id: &SubscriptionId) {
        match pattern {
            TypePattern::Exact(name) => remove_from(&mut self.exact, name, id),
            TypePattern::Prefix(prefix) => remove_from(&mut self.prefix, prefix, id),
            TypePattern::Any => {
                self.any.remove(id);
            }
        }
    }

    /// The buckets whose pattern matches: the type itself, each prefix that ends at one of its dots, any.
    fn buckets<'a>(&'a self, event_type: &'a str) -> impl Iterator<Item = &'a Bucket> {
        let prefixes = event_type
            .match_indices('.')
            .filter(move |(dot, _)| dot + 1 < event_type.len())
            .filter_map(|(dot, _)| self.prefix.get(&event_type[..=dot]));
        self.exact.get(event_type).into_iter().chain(prefixes).chain([&self.any])
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefix.is_empty() && self.any.is_empty()
    }
}

fn remove_from(buckets: &mut HashMap<String, Bucket>, key: &str, id: &SubscriptionId) {
    let Some(bucket) = buckets.get_mut(key) else { return };
    bucket.remove(id);
    if bucket.is_empty() {
        buckets.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{EndpointId, Timestamp};

    fn tenant(number: u8) -> TenantId {
        TenantId::from_trusted(format!("ten_{number}"))
    }

    fn subscription(id: u8, owner: u8, patterns: &[&str]) -> Arc<Subscription> {
        Arc::new(Subscription {
            id: SubscriptionId::from_trusted(format!("sub_{id:03}")),
            tenant: tenant(owner),
            endpoint: EndpointId::from_trusted("ep_1"),
            event_types: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            filter: None,
            mapping: None,
            created_at: Timestamp::EPOCH,
        })
    }

    fn ids(found: &[Arc<Subscription>]) -> Vec<&str> {
        let mut ids: Vec<_> = found.iter().map(|subscription| subscription.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_subscription_with_several_matching_patterns_is_found_once() {
        let mut index = SubscriptionIndex::default();
        index.insert(subscription(1, 1, &["order.created", "order.*", "*"]));
        assert_eq!(ids(&index.candidates(&tenant(1), "order.created")), ["sub_001"]);
    }

    #[test]
    fn another_tenant_finds_nothing() {
        let mut index = SubscriptionIndex::default();
        index.insert(subscription(1, 1, &["*"]));
        assert!(index.candidates(&tenant(2), "order.created").is_empty());
    }

    #[test]
    fn a_replaced_subscription_is_no_longer_found_by_its_old_patterns() {
        let mut index = SubscriptionIndex::default();
        index.insert(subscription(1, 1, &["order.*"]));
        index.insert(subscription(1, 1, &["invoice.paid"]));
        assert!(index.candidates(&tenant(1), "order.created").is_empty());
        assert_eq!(ids(&index.candidates(&tenant(1), "invoice.paid")), ["sub_001"]);
        assert_eq!(index.len(), 1);
    }

    #[test]
    fn nothing_is_left_once_all_are_removed() {
        let mut index = SubscriptionIndex::default();
        let all = [subscription(1, 1, &["order.*", "*"]), subscription(2, 2, &["a", "a"])];
        for subscription in &all {
            index.insert(subscription.clone());
        }
        for subscription in &all {
            index.remove(&subscription.id);
        }
        index.remove(&SubscriptionId::from_trusted("sub_unknown"));
        assert!(index.is_empty() && index.tenants.is_empty());
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        prop_oneof![Just("*".to_owned()), "[ab](\\.[ab]){0,2}", "[ab](\\.[ab]){0,2}\\.\\*", "a/b(\\.[ab])?(\\.\\*)?"]
    }

    proptest! {
        #[test]
        fn finds_what_a_linear_scan_finds(
            edits in vec((0..12u8, 0..2u8, vec(any_pattern(), 1..4), any::<bool>()), 0..40),
            event_type in prop_oneof!["[ab](\\.[ab]){0,3}", "a/b(\\.[ab]){0,2}"],
            owner in 0..2u8,
        ) {
            let mut index = SubscriptionIndex::default();
            let mut model: HashMap<u8, Arc<Subscription>> = HashMap::new();
            for (id, owner, patterns, removed) in edits {
                let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
                let edited = subscription(id, owner, &patterns);
                if removed {
                    index.remove(&edited.id);
                    model.remove(&id);
                } else {
                    index.insert(edited.clone());
                    model.insert(id, edited);
                }
            }
            let scanned: Vec<_> = model
                .values()
                .filter(|it| it.tenant == tenant(owner) && it.event_types.iter().any(|p| p.matches(&event_type)))
                .cloned()
                .collect();
            let found = index.candidates(&tenant(owner), &event_type);
            prop_assert_eq!(ids(&found), ids(&scanned));
            prop_assert_eq!(index.len(), model.len());
        }
    }
}
