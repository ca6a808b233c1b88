//! The memory for deliveries that wait in a process, shared fairly by those that they wait for.

use std::sync::Arc;

use metrics::Gauge;
use parking_lot::Mutex;
use postrider_domain::{
    EndpointId, Priority, TenantId,
    share::{Budget, Refused},
};

/// One budget of bytes for everything that waits in a process. Clones share it.
#[derive(Clone)]
pub(super) struct Memory(Arc<Inner>);

struct Inner {
    budget: Mutex<Budget>,
    waiting_bytes: Gauge,
}

impl Memory {
    /// A budget of which nothing is held.
    pub(super) fn new(max_bytes: usize) -> Self {
        let waiting_bytes = metrics::gauge!("postrider_waiting_bytes");
        Self(Arc::new(Inner { budget: Mutex::new(Budget::new(max_bytes)), waiting_bytes }))
    }

    /// Takes `bytes` for a delivery to `endpoint`, until the reservation is dropped. Tenants weigh the same but for what
    /// is asked for: for what is more urgent they get a larger share.
    pub(super) fn reserve(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        bytes: usize,
        priority: Priority,
    ) -> Result<Reservation, Refused> {
        self.0.change(|budget| budget.reserve(tenant, endpoint, bytes, priority.weight()))?;
        Ok(Reservation { memory: self.0.clone(), tenant: tenant.clone(), endpoint: endpoint.clone(), bytes })
    }
}

impl Inner {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no process holds 2^52 bytes")]
    fn change<T>(&self, change: impl FnOnce(&mut Budget) -> T) -> T {
        let mut budget = self.budget.lock();
        let changed = change(&mut budget);
        // Under the lock, so that the last one to change it is the last one to say so.
        self.waiting_bytes.set(budget.held_bytes() as f64);
        changed
    }
}

/// Bytes that one delivery holds of a [`Memory`]. Given back when dropped.
#[must_use = "it is given back when dropped"]
pub(super) struct Reservation {
    memory: Arc<Inner>,
    tenant: TenantId,
    endpoint: EndpointId,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.change(|budget| budget.release(&self.tenant, &self.endpoint, self.bytes));
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes for {}", self.bytes, self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(name: &str) -> (TenantId, EndpointId) {
        (TenantId::from_trusted(format!("ten_{name}")), EndpointId::from_trusted(format!("ep_{name}")))
    }

    #[test]
    fn what_is_reserved_is_there_again_once_its_delivery_is_gone() {
        let memory = Memory::new(100);
        let (tenant, endpoint) = ids("a");
        let first = memory.reserve(&tenant, &endpoint, 70, Priority::Normal).unwrap();
        let second = memory.clone().reserve(&tenant, &endpoint, 30, Priority::Normal).unwrap();
        assert_eq!(memory.reserve(&tenant, &endpoint, 1, Priority::Normal).unwrap_err(), Refused::Full);
        drop(first);
        let third = memory.reserve(&tenant, &endpoint, 1, Priority::Normal).unwrap();
        assert_eq!(memory.0.budget.lock().held_bytes(), 31);
        drop((second, third));
        assert_eq!(memory.0.budget.lock().held_bytes(), 0);
    }

    #[test]
    fn an_endpoint_that_fills_it_is_refused_while_others_still_get_their_share() {
        let memory = Memory::new(1_000);
        let (noisy, quiet) = (ids("noisy"), ids("quiet"));
        let mut kept = Vec::new();
        let refused = loop {
            match memory.reserve(&noisy.0, &noisy.1, 10, Priority::Normal) {
                Ok(reservation) => kept.push(reservation),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, Refused::OverShare);
        kept.push(memory.reserve(&quiet.0, &quiet.1, 10, Priority::Normal).unwrap());
    }

    #[test]
    fn when_it_is_scarce_the_more_urgent_gets_more_and_the_least_urgent_something() {
        let memory = Memory::new(10_000);
        let (busy, mut kept) = (ids("busy"), Vec::new());
        kept.push(memory.reserve(&busy.0, &busy.1, 7_600, Priority::Normal).unwrap());
        let held = Priority::ALL.map(|priority| {
            let (tenant, endpoint) = ids(priority.as_str());
            // A newcomer gets something, whatever its priority.
            kept.push(memory.reserve(&tenant, &endpoint, 10, priority).unwrap());
            (tenant, endpoint, priority)
        });
        let got = held.map(|(tenant, endpoint, priority)| {
            let more = std::iter::from_fn(|| memory.reserve(&tenant, &endpoint, 10, priority).ok());
            let more: Vec<Reservation> = more.take(200).collect();
            more.len()
        });
        // Of the weights 4 + 16 + 4 + 1, each has its part of 7,500 bytes: 4,800 (more than is tried), 1,200 and 300.
        assert_eq!(got, [200, 120, 30]);
    }
}
