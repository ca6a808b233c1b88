//! Fair shares of one process's memory for deliveries, over tenants and their endpoints.

use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZeroU32,
};

use crate::{EndpointId, TenantId};

/// Why no memory is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All of it is held: wait until some is released.
    Full,
    /// Most of it is held, and by this endpoint more than its share.
    OverShare,
}

/// Who holds how many bytes of one budget.
///
/// Up to three quarters of it, everybody gets what they ask for. Above, an endpoint gets nothing while it holds more
/// than its share: the three quarters are shared by weight among the tenants that hold something, and a tenant's part
/// evenly among its endpoints that hold something. So the last quarter is for newcomers and for those below their
/// share, also when one endpoint alone fills the rest. The maximum is exceeded by at most one delivery.
///
/// Each operation takes the same time, whatever number of tenants and endpoints there is.
#[derive(Debug)]
pub struct Budget {
    max_bytes: usize,
    held_bytes: usize,
    /// The weights of the tenants that hold something, together.
    weights: u64,
    tenants: HashMap<TenantId, Holding>,
}

/// What one tenant holds; there is none for a tenant that holds nothing.
#[derive(Debug)]
struct Holding {
    weight: NonZeroU32,
    endpoints: HashMap<EndpointId, usize>,
}

impl Budget {
    /// A budget of which nothing is held.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, held_bytes: 0, weights: 0, tenants: HashMap::new() }
    }

    /// Gives `bytes` to an endpoint of a tenant that has this weight (which may change from call to call).
    pub fn reserve(
        &mut self,
        tenant: &TenantId,
        endpoint: &EndpointId,
        bytes: usize,
        weight: NonZeroU32,
    ) -> Result<(), Refused> {
        if self.held_bytes >= self.max_bytes {
            return Err(Refused::Full);
        }
        if self.held_bytes >= self.shared_bytes() && self.is_over_share(tenant, endpoint, weight) {
            return Err(Refused::OverShare);
        }
        if bytes == 0 {
            return Ok(());
        }
        let holding = match self.tenants.entry(tenant.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.weights += u64::from(weight.get());
                entry.insert(Holding { weight, endpoints: HashMap::new() })
            }
        };
        self.weights = self.weights - u64::from(holding.weight.get()) + u64::from(weight.get());
        holding.weight = weight;
        *holding.endpoints.entry(endpoint.clone()).or_default() += bytes;
        self.held_bytes += bytes;
        Ok(())
    }

    /// Takes back `bytes` that were given to an endpoint.
    ///
    /// # Panics
    /// If it holds fewer: the caller would release something twice.
    pub fn release(&mut self, tenant: &TenantId, endpoint: &EndpointId, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let holding = self.tenants.get_mut(tenant).expect("a tenant releases what it holds");
        let held = holding.endpoints.get_mut(endpoint).expect("an endpoint releases what it holds");
        *held = held.checked_sub(bytes).expect("an endpoint releases no more than it holds");
        self.held_bytes -= bytes;
        if *held == 0 {
            holding.endpoints.remove(endpoint);
        }
        if holding.endpoints.is_empty() {
            self.weights -= u64::from(holding.weight.get());
            self.tenants.remove(tenant);
        }
    }

    /// The bytes that are held by all together.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The bytes that are held by one endpoint.
    pub fn held_by(&self, tenant: &TenantId, endpoint: &EndpointId) -> usize {
        self.tenants.get(tenant).and_then(|holding| holding.endpoints.get(endpoint)).copied().unwrap_or(0)
    }

    /// Above this, shares count.
    fn shared_bytes(&self) -> usize {
        self.max_bytes - self.max_bytes / 4
    }

    fn is_over_share(&self, tenant: &TenantId, endpoint: &EndpointId, weight: NonZeroU32) -> bool {
        let Some(holding) = self.tenants.get(tenant) else { return false };
        let Some(&held) = holding.endpoints.get(endpoint) else { return false };
        let weights = self.weights - u64::from(holding.weight.get()) + u64::from(weight.get());
        // held > shared × weight / weights / endpoints, without rounding.
        let endpoints = holding.endpoints.len() as u128;
        held as u128 * u128::from(weights) * endpoints > self.shared_bytes() as u128 * u128::from(weight.get())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn tenant(n: usize) -> TenantId {
        TenantId::from_trusted(format!("ten_{n}"))
    }

    fn endpoint(n: usize) -> EndpointId {
        EndpointId::from_trusted(format!("ep_{n}"))
    }

    /// Takes ten bytes at a time until it is refused; what it then holds.
    fn fill(budget: &mut Budget, t: usize, e: usize, weight: u32) -> (usize, Refused) {
        let (tenant, endpoint, weight) = (tenant(t), endpoint(e), NonZeroU32::new(weight).unwrap());
        loop {
            if let Err(refused) = budget.reserve(&tenant, &endpoint, 10, weight) {
                return (budget.held_by(&tenant, &endpoint), refused);
            }
        }
    }

    #[test]
    fn one_that_fills_it_alone_leaves_the_last_quarter_to_newcomers() {
        let mut budget = Budget::new(1_000);
        assert_eq!(fill(&mut budget, 1, 1, 1), (760, Refused::OverShare));
        for n in 2..=25 {
            assert_eq!(budget.reserve(&tenant(n), &endpoint(n), 10, ONE), Ok(()), "{n}");
        }
        assert_eq!(budget.reserve(&tenant(26), &endpoint(26), 10, ONE), Err(Refused::Full));
    }

    #[test]
    fn tenants_share_by_weight_and_their_endpoints_evenly() {
        let mut budget = Budget::new(1_000);
        // Everybody holds something, and the hog most of the budget.
        for (t, e, weight) in [(1, 1, 3), (2, 2, 1), (2, 3, 1)] {
            budget.reserve(&tenant(t), &endpoint(e), 10, NonZeroU32::new(weight).unwrap()).unwrap();
        }
        budget.reserve(&tenant(3), &endpoint(4), 720, NonZeroU32::new(4).unwrap()).unwrap();
        // Shares of 750 by 3, 1 and 4: 281, 94 (47 for each of two endpoints) and 375.
        assert_eq!(fill(&mut budget, 3, 4, 4), (720, Refused::OverShare));
        assert_eq!(fill(&mut budget, 2, 2, 1), (50, Refused::OverShare));
        assert_eq!(fill(&mut budget, 2, 3, 1), (50, Refused::OverShare));
        budget.release(&tenant(3), &endpoint(4), 120);
        assert_eq!(fill(&mut budget, 1, 1, 3), (290, Refused::OverShare));
        budget.release(&tenant(2), &endpoint(3), 50);
        assert_eq!(fill(&mut budget, 2, 2, 1), (100, Refused::OverShare), "the tenant's only endpoint again");
    }

    #[test]
    fn below_three_quarters_everybody_gets_what_they_ask_for() {
        let mut budget = Budget::new(1_000);
        budget.reserve(&tenant(1), &endpoint(1), 10, ONE).unwrap();
        assert_eq!(budget.reserve(&tenant(2), &endpoint(2), 700, ONE), Ok(()));
        assert_eq!(budget.reserve(&tenant(2), &endpoint(2), 100, ONE), Ok(()));
        assert_eq!(budget.reserve(&tenant(2), &endpoint(2), 1, ONE), Err(Refused::OverShare));
    }

    #[test]
    fn what_holds_nothing_is_forgotten() {
        let mut budget = Budget::new(1_000);
        budget.reserve(&tenant(1), &endpoint(1), 0, ONE).unwrap();
        assert!(budget.tenants.is_empty());
        for n in 0..50 {
            budget.reserve(&tenant(n), &endpoint(n), 10, NonZeroU32::new(7).unwrap()).unwrap();
        }
        for n in 0..50 {
            budget.release(&tenant(n), &endpoint(n), 10);
        }
        assert!(budget.tenants.is_empty() && budget.weights == 0 && budget.held_bytes() == 0);
    }

    proptest! {
        #[test]
        fn sums_are_right_and_decisions_are_those_of_a_naive_count(
            steps in proptest::collection::vec((0..4usize, 0..3usize, 0..120usize, 1..5u32, any::<bool>()), 1..300),
        ) {
            const MAX: usize = 1_000;
            let mut budget = Budget::new(MAX);
            let mut held: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            let mut weights: BTreeMap<usize, u32> = BTreeMap::new();
            for (t, e, bytes, weight, take) in steps {
                let mine = held.get(&(t, e)).copied().unwrap_or(0);
                let total: usize = held.values().sum();
                if take {
                    let mut active = weights.clone();
                    active.insert(t, weight);
                    let endpoints = held.keys().filter(|(tenant, _)| *tenant == t).count();
                    let together: u32 = active.values().sum();
                    let over = mine * endpoints * together as usize > 750 * weight as usize;
                    let wanted = match () {
                        () if total >= MAX => Err(Refused::Full),
                        () if total >= 750 && mine > 0 && over => Err(Refused::OverShare),
                        () => Ok(()),
                    };
                    let got = budget.reserve(&tenant(t), &endpoint(e), bytes, NonZeroU32::new(weight).unwrap());
                    prop_assert_eq!(got, wanted);
                    if got.is_ok() && bytes > 0 {
                        *held.entry((t, e)).or_default() += bytes;
                        weights.insert(t, weight);
                    }
                } else {
                    let bytes = bytes.min(mine);
                    budget.release(&tenant(t), &endpoint(e), bytes);
                    held.insert((t, e), mine - bytes);
                    held.retain(|_, bytes| *bytes > 0);
                    weights.retain(|tenant, _| held.keys().any(|(t, _)| t == tenant));
                }
                prop_assert_eq!(budget.held_bytes(), held.values().sum::<usize>());
                prop_assert_eq!(budget.weights, weights.values().map(|weight| u64::from(*weight)).sum::<u64>());
                prop_assert_eq!(budget.tenants.len(), weights.len());
                prop_assert!(budget.held_bytes() < MAX + 120);
                for ((t, e), bytes) in &held {
                    prop_assert_eq!(budget.held_by(&tenant(*t), &endpoint(*e)), *bytes);
                }
                if budget.held_bytes() < MAX {
                    let newcomer = budget.reserve(&tenant(99), &endpoint(99), 1, ONE);
                    prop_assert_eq!(newcomer, Ok(()));
                    budget.release(&tenant(99), &endpoint(99), 1);
                }
            }
        }
    }
}
