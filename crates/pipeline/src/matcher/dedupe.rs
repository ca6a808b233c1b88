//! Producers' own duplicates within one partition, held back until it is known what came of the first.

use std::sync::Arc;

use parking_lot::Mutex;
use postrider_domain::{
    Event, EventId, TenantId, Timestamp,
    dedupe::{Admission, DedupeLimits, DedupeWindow},
};
use tokio::sync::Notify;

/// An event of a tenant: two tenants may use one id.
type Id = (TenantId, EventId);

/// What one assignment of a partition remembers. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Dedupe(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    window: Mutex<DedupeWindow<Id>>,
    /// Something that was in flight was settled or let go of.
    changed: Notify,
}

/// An event that was taken. Dropped before it is settled, it makes the next one with its id count.
#[derive(Debug)]
pub(super) struct Admitted {
    dedupe: Dedupe,
    id: Id,
}

impl Dedupe {
    pub(super) fn new(limits: DedupeLimits) -> Self {
        Self(Arc::new(Inner { window: Mutex::new(DedupeWindow::new(limits)), changed: Notify::new() }))
    }

    /// Waits until it is known whether the event, read at `offset`, is new; none if it is a duplicate. Cancel-safe.
    pub(super) async fn admit(&self, event: &Event, offset: i64, now: impl Fn() -> Timestamp) -> Option<Admitted> {
        let id = (event.tenant.clone(), event.id.clone());
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            let admission = self.0.window.lock().admit(&id, offset, now());
            match admission {
                Admission::Take => return Some(Admitted { dedupe: self.clone(), id }),
                Admission::Duplicate => return None,
                Admission::Wait => changed.await,
            }
        }
    }
}

impl Admitted {
    /// The event's record is settled.
    pub(super) fn settled(self, now: Timestamp) {
        self.dedupe.0.window.lock().settled(&self.id, now);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // Changes nothing if it was settled.
        self.dedupe.0.window.lock().released(&self.id);
        self.dedupe.0.changed.notify_waiters();
    }
}
