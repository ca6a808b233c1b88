//! The index itself.

use std::{
    hash::{BuildHasher, Hash, Hasher, RandomState},
    hint::black_box,
    sync::Arc,
};

use serde_json::Value;

use super::{
    list::List,
    names::Names,
    predicate::{Predicate, predicate},
};
use crate::{
    Subscription, SubscriptionId, TenantId,
    filter::{EventView, FieldPath, Roots, equality},
    pattern::TypePattern,
    sharded::Sharded,
};

/// Subscriptions, found by what they ask of an event: see the [module](super). A look-up takes time for what it finds,
/// for the dots of the type, and for the different fields that its buckets ask for; an edit takes about as long however
/// many there are.
#[derive(Debug, Default)]
pub struct SubscriptionIndex {
    by_id: Sharded<SubscriptionId, Arc<Subscription>>,
    tenants: Names<TenantId>,
    /// An exact type, a prefix with its final dot, or nothing for `*`: no two patterns are written alike.
    patterns: Names<Arc<str>>,
    fields: Names<FieldPath>,
    buckets: Sharded<BucketKey, Bucket>,
    /// Those with a predicate.
    equal: Sharded<EqualKey, List>,
    /// Hashes values.
    hasher: RandomState,
}

/// Numbers of a tenant and a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct BucketKey {
    tenant: u32,
    pattern: u32,
}

/// A field of the subscriptions of a bucket, and the hash of a value. Values of one hash are together: who is found here
/// is a candidate, and its filter decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct EqualKey {
    bucket: BucketKey,
    field: u32,
    value: u64,
}

/// The subscriptions of one tenant and pattern.
#[derive(Debug, Default)]
struct Bucket {
    /// The fields of those with a predicate.
    fields: Vec<FieldUse>,
    /// Those without.
    rest: List,
}

#[derive(Debug)]
struct FieldUse {
    field: FieldPath,
    number: u32,
    subscriptions: u32,
}

/// Where a subscription stands.
struct Places {
    buckets: Vec<BucketKey>,
    /// The field, its number, and the hashes of its values.
    predicate: Option<(FieldPath, u32, Vec<u64>)>,
}

impl SubscriptionIndex {
    /// Adds a subscription, or replaces the one with its id.
    pub fn insert(&mut self, mut subscription: Subscription) {
        self.remove(&subscription.id);
        self.share(&mut subscription);
        let places = self.places(&subscription);
        let (id, subscription) = (subscription.id.clone(), Arc::new(subscription));
        for bucket in places.buckets {
            let Some((field, number, values)) = &places.predicate else {
                self.buckets.part_mut(&bucket).entry(bucket).or_default().rest.push(subscription.clone());
                continue;
            };
            self.buckets.part_mut(&bucket).entry(bucket).or_default().use_field(field, *number);
            for value in values {
                let key = EqualKey { bucket, field: *number, value: *value };
                self.equal.part_mut(&key).entry(key).or_default().push(subscription.clone());
            }
        }
        self.by_id.part_mut(&id).insert(id, subscription);
    }

    /// Removes a subscription; nothing if there is none with that id.
    pub fn remove(&mut self, id: &SubscriptionId) {
        let Some(subscription) = self.by_id.part_mut(id).remove(id) else { return };
        let places = self.places(&subscription);
        for key in places.buckets {
            let part = self.buckets.part_mut(&key);
            let Some(bucket) = part.get_mut(&key) else { continue };
            match &places.predicate {
                Some((_, number, _)) => bucket.release_field(*number),
                None => bucket.rest.remove(&subscription),
            }
            if bucket.is_empty() {
                part.remove(&key);
            }
            let Some((_, field, values)) = &places.predicate else { continue };
            for value in values {
                self.remove_equal(EqualKey { bucket: key, field: *field, value: *value }, &subscription);
            }
        }
        self.release(&subscription);
    }

    /// The subscriptions of the event's tenant with a pattern that matches its type, except those that have a predicate
    /// which does not hold; each once, in no order. What they ask for besides is not looked at.
    pub fn candidates(&self, event: &EventView<'_>) -> Vec<Arc<Subscription>> {
        let mut found = Vec::new();
        let mut buckets = 0;
        for (key, bucket) in self.buckets_of(event) {
            buckets += 1;
            bucket.rest.add_to(&mut found);
            for field in &bucket.fields {
                let Some(value) = event.field(&field.field) else { continue };
                let key = EqualKey { bucket: key, field: field.number, value: self.hashed(&value) };
                if let Some(list) = self.equal.get(&key) {
                    list.add_to(&mut found);
                }
            }
        }
        if buckets > 1 {
            // One with several patterns may be in several buckets, but never twice in one.
            found.sort_unstable_by_key(|subscription| Arc::as_ptr(subscription));
            found.dedup_by_key(|subscription| Arc::as_ptr(subscription));
        }
        fetch_together(&found);
        found.into_iter().cloned().collect()
    }

    /// The JSON documents that [`candidates`](Self::candidates) looks into for this event.
    pub fn looks_into(&self, event: &EventView<'_>) -> Roots {
        let mut roots = Roots::default();
        for (_, bucket) in self.buckets_of(event) {
            bucket.fields.iter().for_each(|field| roots.add(field.field.root()));
        }
        roots
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buckets of the event's tenant whose pattern matches its type: the type itself, each prefix that ends at one of
    /// its dots, any.
    fn buckets_of(&self, event: &EventView<'_>) -> impl Iterator<Item = (BucketKey, &Bucket)> {
        let event = event.event();
        let event_type = event.event_type.as_str();
        let prefixes = event_type
            .match_indices('.')
            .map(move |(dot, _)| &event_type[..=dot])
            .filter(move |prefix| prefix.len() < event_type.len());
        let exact = Some(event_type).filter(|name| !name.is_empty() && !name.ends_with('.'));
        let keys = self.tenants.number(&event.tenant).into_iter().flat_map(move |tenant| {
            let patterns = exact.into_iter().chain(prefixes.clone()).chain([""]);
            patterns.filter_map(move |pattern| Some(BucketKey { tenant, pattern: self.patterns.number(pattern)? }))
        });
        keys.filter_map(|key| Some((key, self.buckets.get(&key)?)))
    }

    /// Where a subscription stands whose names are known.
    fn places(&self, subscription: &Subscription) -> Places {
        let known = "it shares its names with the index";
        let tenant = self.tenants.number(&subscription.tenant).expect(known);
        let pattern = |pattern| self.patterns.number(written(pattern)).expect(known);
        let patterns = subscription.event_types.iter().map(pattern);
        let mut buckets: Vec<_> = patterns.map(|pattern| BucketKey { tenant, pattern }).collect();
        buckets.sort_unstable();
        buckets.dedup();
        let predicate = subscription.filter.as_ref().and_then(predicate).map(|Predicate { field, values }| {
            let mut values: Vec<_> = values.iter().map(|value| self.hashed(value)).collect();
            values.sort_unstable();
            values.dedup();
            (field.clone(), self.fields.number(field).expect(known), values)
        });
        Places { buckets, predicate }
    }

    /// Takes the names of a subscription, and has it share them with others.
    fn share(&mut self, subscription: &mut Subscription) {
        self.tenants.take(&mut subscription.tenant);
        subscription.event_types.shrink_to_fit();
        for pattern in &mut subscription.event_types {
            match pattern {
                TypePattern::Exact(text) | TypePattern::Prefix(text) => self.patterns.take(text),
                TypePattern::Any => self.patterns.take(&mut "".into()),
            }
        }
        if let Some(filter) = &mut subscription.filter {
            filter.compact(&mut |condition| self.fields.take(&mut condition.field));
        }
    }

    /// Gives back what [`share`](Self::share) took.
    fn release(&mut self, subscription: &Subscription) {
        self.tenants.give_back(&subscription.tenant);
        for pattern in &subscription.event_types {
            self.patterns.give_back(written(pattern));
        }
        if let Some(filter) = &subscription.filter {
            filter.for_each_condition(&mut |condition| self.fields.give_back(&condition.field));
        }
    }

    fn remove_equal(&mut self, key: EqualKey, subscription: &Arc<Subscription>) {
        let part = self.equal.part_mut(&key);
        let Some(list) = part.get_mut(&key) else { return };
        list.remove(subscription);
        if list.is_empty() {
            part.remove(&key);
        }
    }

    fn hashed(&self, value: &Value) -> u64 {
        let mut state = self.hasher.build_hasher();
        equality::hash(value, &mut state);
        state.finish()
    }

    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        let names = self.tenants.len() + self.patterns.len() + self.fields.len();
        names + self.by_id.len() + self.buckets.len() + self.equal.len() == 0
    }
}

impl Bucket {
    fn use_field(&mut self, field: &FieldPath, number: u32) {
        if let Some(used) = self.fields.iter_mut().find(|it| it.number == number) {
            used.subscriptions += 1;
            return;
        }
        if self.fields.is_empty() {
            self.fields.reserve_exact(1); // most have no second
        }
        self.fields.push(FieldUse { field: field.clone(), number, subscriptions: 1 });
    }

    fn release_field(&mut self, number: u32) {
        let Some(place) = self.fields.iter().position(|it| it.number == number) else { return };
        self.fields[place].subscriptions -= 1;
        if self.fields[place].subscriptions == 0 {
            self.fields.swap_remove(place);
        }
    }

    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.rest.is_empty()
    }
}

/// Reads all of them, and then what their filters compare with, before any is counted up and evaluated. Among a million,
/// each is somewhere else in memory: here the processor waits for many at a time, there it would for one by one.
fn fetch_together(subscriptions: &[&Arc<Subscription>]) {
    for subscription in subscriptions {
        black_box((Arc::strong_count(subscription), subscription.filter.is_some(), subscription.created_at));
    }
    for filter in subscriptions.iter().filter_map(|subscription| subscription.filter.as_ref()) {
        filter.for_each_condition(&mut |condition| {
            black_box(condition.test.first_byte());
        });
    }
}

/// A pattern as the index names it.
fn written(pattern: &TypePattern) -> &str {
    match pattern {
        TypePattern::Exact(text) | TypePattern::Prefix(text) => text,
        TypePattern::Any => "",
    }
}
