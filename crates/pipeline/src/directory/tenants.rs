//! Tenants whose deliveries are held: suspended, or over their quota. The others, mostly all, are not kept.

use std::collections::HashMap;

use postrider_domain::{EntityId, TenantId, Timestamp, config_entry::Tenant, delivery_event::HoldReason};

/// The standing of those tenants that are not in good standing.
#[derive(Debug, Default)]
pub(super) struct HeldTenants(HashMap<TenantId, Standing>);

#[derive(Debug)]
struct Standing {
    suspended: bool,
    held_until: Option<Timestamp>,
}

impl HeldTenants {
    /// Takes what was published of a tenant.
    pub fn note(&mut self, tenant: &Tenant) {
        if tenant.suspended || tenant.held_until.is_some() {
            let standing = Standing { suspended: tenant.suspended, held_until: tenant.held_until };
            self.0.insert(tenant.id.clone(), standing);
        } else {
            self.0.remove(&tenant.id);
        }
    }

    /// The tenant is gone.
    pub fn forget(&mut self, id: &EntityId) {
        self.0.remove(id.as_str());
    }

    /// Why what comes for its endpoints is held, if it is.
    pub fn hold(&self, tenant: &TenantId, now: Timestamp) -> Option<HoldReason> {
        // Before the look-up, which costs a hash: there are none, mostly.
        let standing = if self.0.is_empty() { None } else { self.0.get(tenant) }?;
        if standing.suspended {
            Some(HoldReason::Suspended)
        } else {
            standing.held_until.filter(|until| now < *until).map(|_| HoldReason::Quota)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_held_while_it_is_suspended_or_until_its_quota_begins_anew() {
        let id = TenantId::from_trusted("ten_1");
        let at = Timestamp::from_millis;
        let tenant = |suspended, held_until| Tenant { suspended, held_until, ..Tenant::new(id.clone(), "Ann") };
        let mut tenants = HeldTenants::default();
        tenants.note(&tenant(false, None));
        assert_eq!(tenants.hold(&id, at(0)), None);
        tenants.note(&tenant(false, Some(at(10))));
        assert_eq!([9, 10].map(|now| tenants.hold(&id, at(now))), [Some(HoldReason::Quota), None]);
        assert_eq!(tenants.hold(&TenantId::from_trusted("ten_2"), at(9)), None);
        tenants.note(&tenant(true, Some(at(10))));
        assert_eq!(tenants.hold(&id, at(11)), Some(HoldReason::Suspended));
        tenants.note(&tenant(false, None));
        assert_eq!(tenants.hold(&id, at(9)), None);
        tenants.note(&tenant(true, None));
        tenants.forget(&(&id).into());
        assert_eq!(tenants.hold(&id, at(9)), None);
    }
}
