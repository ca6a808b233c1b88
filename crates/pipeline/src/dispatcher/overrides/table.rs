//! The orders that are in force.

use std::{
    collections::{HashMap, HashSet, hash_map},
    mem::size_of,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use postrider_domain::{MessageId, Run, Timestamp, overrides::Override};
use tokio::sync::watch;

/// For how long what has expired is kept: whoever's clock is a little behind has no use for it then either.
const EXPIRED_KEPT: Duration = Duration::from_hours(1);

/// The orders that are in force, by message id and run. Clones share them.
///
/// It holds what is in force (for 32 days after the order) and what has expired within the last two hours: about 250
/// bytes each, so that a million orders a month are 250 MB.
#[derive(Debug, Clone, Default)]
pub(in crate::dispatcher) struct Overrides(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: RwLock<Table>,
    complete: watch::Sender<bool>,
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    /// Nearly always one run of a message.
    orders: HashMap<MessageId, Vec<Override>>,
    count: usize,
    /// Orders in force whose records were deleted.
    deleted: HashSet<(MessageId, Run)>,
}

impl Overrides {
    /// A table that knows nothing until it was read.
    pub(in crate::dispatcher) fn new() -> Self {
        Self::default()
    }

    /// The order about a delivery, if there is one; [`Override::ends`] knows whether it is still in force.
    pub(in crate::dispatcher) fn of(&self, message_id: &MessageId, run: &Run) -> Option<Override> {
        let table = self.0.table.read();
        if table.orders.is_empty() {
            return None;
        }
        table.orders.get(message_id)?.iter().find(|order| order.run == *run).cloned()
    }

    /// Waits until the topic was read to its end once. Cancel-safe.
    pub(in crate::dispatcher) async fn wait_until_read(&self) {
        // The sender lives as long as this handle.
        let _ = self.0.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// How many orders there are.
    pub(super) fn len(&self) -> usize {
        self.0.table.read().count
    }

    /// About how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        // The text of a message id beside the order, and the map's own.
        const BESIDE: usize = 128;
        self.len() * (size_of::<Override>() + BESIDE)
    }

    /// Goes up with every order that comes.
    pub(in crate::dispatcher) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Relaxed)
    }

    pub(super) fn completed(&self) {
        self.0.complete.send_if_modified(|complete| !std::mem::replace(complete, true));
    }

    /// Takes note of an order; it replaces an earlier one.
    pub(in crate::dispatcher) fn put(&self, order: Override) {
        self.0.changes.fetch_add(1, Ordering::Relaxed);
        let mut table = self.0.table.write();
        table.deleted.remove(&(order.message_id.clone(), order.run.clone()));
        let runs = table.orders.entry(order.message_id.clone()).or_default();
        if let Some(known) = runs.iter_mut().find(|known| known.run == order.run) {
            *known = order;
        } else {
            runs.push(order);
            table.count += 1;
        }
    }

    /// The record of an order was deleted. Only what has expired is deleted, so one that is in force was given while
    /// somebody deleted the one before it: it stays, and its record has to be written again.
    pub(super) fn delete(&self, message_id: &MessageId, run: &Run, now: Timestamp) {
        let mut table = self.0.table.write();
        let known = table.orders.get(message_id).and_then(|runs| runs.iter().find(|order| order.run == *run));
        match known {
            Some(order) if order.until > now => {
                table.deleted.insert((message_id.clone(), run.clone()));
            }
            Some(_) => table.remove(message_id, run),
            None => {}
        }
    }

    /// The orders whose records have to be written again.
    pub(super) fn take_deleted(&self) -> Vec<Override> {
        let deleted = std::mem::take(&mut self.0.table.write().deleted);
        deleted.iter().filter_map(|(message_id, run)| self.of(message_id, run)).collect()
    }

    /// Forgets what has expired an hour ago or longer. Answers what that was.
    pub(super) fn forget_expired(&self, now: Timestamp) -> Vec<(MessageId, Run)> {
        let mut table = self.0.table.write();
        let expired = |order: &&Override| order.until + EXPIRED_KEPT <= now;
        let expired = table.orders.values().flatten().filter(expired);
        let expired: Vec<_> = expired.map(|order| (order.message_id.clone(), order.run.clone())).collect();
        for (message_id, run) in &expired {
            table.remove(message_id, run);
        }
        expired
    }

    /// A table that was read and has these orders.
    #[cfg(test)]
    pub(in crate::dispatcher) fn for_test(orders: Vec<Override>) -> Self {
        let table = Self::new();
        for order in orders {
            table.put(order);
        }
        table.completed();
        table
    }
}

impl Table {
    fn remove(&mut self, message_id: &MessageId, run: &Run) {
        let hash_map::Entry::Occupied(mut runs) = self.orders.entry(message_id.clone()) else { return };
        let before = runs.get().len();
        runs.get_mut().retain(|order| order.run != *run);
        self.count -= before - runs.get().len();
        if runs.get().is_empty() {
            runs.remove();
        }
    }
}
