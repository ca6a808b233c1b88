//! The memory for deliveries that wait in a process, shared fairly by those that they wait for.

use std::{num::NonZeroU32, sync::Arc};

use metrics::Gauge;
use parking_lot::Mutex;
use postrider_domain::{
    EndpointId, TenantId,
    share::{Budget, Refused},
};

/// Every tenant weighs the same.
const WEIGHT: NonZeroU32 = NonZeroU32::MIN;

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

    /// Takes `bytes` for a delivery to `endpoint`, until the reservation is dropped.
    pub(super) fn reserve(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        bytes: usize,
    ) -> Result<Reservation, Refused> {
        self.0.change(|budget| budget.reserve(tenant, endpoint, bytes, WEIGHT))?;
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
        let first = memory.reserve(&tenant, &endpoint, 70).unwrap();
        let second = memory.clone().reserve(&tenant, &endpoint, 30).unwrap();
        assert_eq!(memory.reserve(&tenant, &endpoint, 1).unwrap_err(), Refused::Full);
        drop(first);
        let third = memory.reserve(&tenant, &endpoint, 1).unwrap();
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
            match memory.reserve(&noisy.0, &noisy.1, 10) {
                Ok(reservation) => kept.push(reservation),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, Refused::OverShare);
        kept.push(memory.reserve(&quiet.0, &quiet.1, 10).unwrap());
    }
}
