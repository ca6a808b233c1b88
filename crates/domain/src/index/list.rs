//! The subscriptions that are found together.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use crate::Subscription;

/// The longest list that is searched from end to end to remove something.
const MAX_FEW: usize = 256;

/// Subscriptions, each once, in no order. Small where it has one, as most have, and a change takes about as long however
/// many there are.
#[derive(Debug)]
pub(super) enum List {
    One(Arc<Subscription>),
    /// None, or up to [`MAX_FEW`].
    Few(Vec<Arc<Subscription>>),
    /// A tree, because a table would be moved as a whole when it grows.
    #[expect(clippy::box_collection, reason = "so that those with one take less")]
    Many(Box<BTreeSet<ByAddress>>),
}

/// A subscription as a place in memory.
#[derive(Debug)]
pub(super) struct ByAddress(Arc<Subscription>);

impl List {
    /// Adds a subscription that is not in it.
    pub(super) fn push(&mut self, subscription: Arc<Subscription>) {
        match self {
            Self::Few(list) if list.is_empty() => *self = Self::One(subscription),
            Self::One(first) => *self = Self::Few(vec![first.clone(), subscription]),
            Self::Few(list) if list.len() < MAX_FEW => list.push(subscription),
            Self::Few(list) => {
                let all = std::mem::take(list).into_iter().chain([subscription]);
                *self = Self::Many(Box::new(all.map(ByAddress).collect()));
            }
            Self::Many(set) => {
                set.insert(ByAddress(subscription));
            }
        }
    }

    /// Removes a subscription; nothing if it is not in it.
    pub(super) fn remove(&mut self, subscription: &Arc<Subscription>) {
        match self {
            Self::One(only) if Arc::ptr_eq(only, subscription) => *self = Self::default(),
            Self::One(_) => {}
            Self::Few(list) => {
                if let Some(place) = list.iter().position(|it| Arc::ptr_eq(it, subscription)) {
                    list.swap_remove(place);
                }
                match list.as_slice() {
                    [only] => *self = Self::One(only.clone()),
                    _ => list.shrink_to(2 * list.len()),
                }
            }
            Self::Many(set) => {
                set.remove(&ByAddress(subscription.clone()));
                // Not right below the bound, or a list around it would be made anew all the time.
                if set.len() <= MAX_FEW / 2 {
                    *self = Self::Few(std::mem::take(&mut **set).into_iter().map(|it| it.0).collect());
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(list) if list.is_empty())
    }

    /// Adds what is in it to `found`.
    pub(super) fn add_to<'a>(&'a self, found: &mut Vec<&'a Arc<Subscription>>) {
        match self {
            Self::One(only) => found.push(only),
            Self::Few(list) => found.extend(list),
            Self::Many(set) => found.extend(set.iter().map(|it| &it.0)),
        }
    }
}

impl Default for List {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Ord for ByAddress {
    fn cmp(&self, other: &Self) -> Ordering {
        Arc::as_ptr(&self.0).cmp(&Arc::as_ptr(&other.0))
    }
}

impl PartialOrd for ByAddress {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByAddress {}
