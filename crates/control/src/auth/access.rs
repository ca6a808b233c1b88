//! What a process knows of those who ask: who is over a limit, who is locked out, what keys are used for.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use parking_lot::Mutex;
use postrider_domain::{KeyId, TenantId, Timestamp};

use super::{
    lockout::{Lockout, LockoutConfig},
    origin::caller_address,
    rate::{RateLimit, RateStanding, RateWindows},
    token::Tokens,
    usage::KeyUsage,
};

/// How callers are told apart and kept within their limits.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// This process's share of each key's rate limit, above 0 and up to 1.
    pub rate_limit_share: f64,
    /// When an address is locked out.
    pub lockout: LockoutConfig,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), rate_limit_share: 1.0, lockout: LockoutConfig::default() }
    }
}

/// What is known of callers. Clones share it.
#[derive(Debug, Clone)]
pub struct Access(Arc<Known>);

#[derive(Debug)]
struct Known {
    config: AccessConfig,
    windows: Mutex<RateWindows>,
    lockout: Mutex<Lockout>,
    usage: KeyUsage,
    tokens: Option<Tokens>,
}

impl Access {
    /// Nothing is known yet. Tokens of another issuer are taken beside API keys if `tokens` checks them.
    pub fn new(config: AccessConfig, tokens: Option<Tokens>) -> Self {
        Self(Arc::new(Known {
            windows: Mutex::default(),
            lockout: Mutex::new(Lockout::new(config.lockout)),
            usage: KeyUsage::default(),
            tokens,
            config,
        }))
    }

    /// What checks tokens of another issuer, if they are taken.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.0.tokens.as_ref()
    }

    /// Where a request came from: see [`caller_address`].
    pub fn caller_address<'a>(
        &self,
        peer: Option<IpAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Option<IpAddr> {
        caller_address(peer, forwarded, &self.0.config.trusted_proxies)
    }

    /// For how long an address is still locked out, if it is.
    pub fn locked_out(&self, address: Option<IpAddr>, now: Timestamp) -> Option<Duration> {
        self.0.lockout.lock().remaining(address?, now)
    }

    /// Notes a bad key. True if its address is locked out because of it.
    pub fn bad_key(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        address.is_some_and(|address| self.0.lockout.lock().failed(address, now))
    }

    /// Counts a request of a key that has a limit.
    pub fn take(&self, key: &KeyId, limit: RateLimit, now: Timestamp) -> RateStanding {
        self.0.windows.lock().take(key.as_str(), 1, limit.share(self.0.config.rate_limit_share), now)
    }

    /// Counts events that a tenant with a quota of so many a second is to publish.
    pub fn take_events(&self, tenant: &TenantId, count: u32, per_second: u32, now: Timestamp) -> RateStanding {
        let limit = RateLimit { requests: per_second, period_seconds: 1 }.share(self.0.config.rate_limit_share);
        self.0.windows.lock().take(tenant.as_str(), count, limit, now)
    }

    /// What keys are used for.
    pub fn usage(&self) -> &KeyUsage {
        &self.0.usage
    }
}
