//! Lockout: an address that tries bad key after bad key is not listened to for a while. Per process.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use postrider_domain::Timestamp;

/// How many addresses are followed at most; while so many fail at once, others are not counted.
const MAX_ADDRESSES: usize = 10_000;

/// When an address is locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutConfig {
    /// After so many bad keys; 0: never.
    pub bad_keys: u32,
    /// Within so long.
    pub within: Duration,
    /// For so long.
    pub lasts: Duration,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        Self { bad_keys: 20, within: Duration::from_mins(5), lasts: Duration::from_mins(15) }
    }
}

/// The addresses that tried bad keys.
#[derive(Debug)]
pub struct Lockout {
    config: LockoutConfig,
    addresses: HashMap<IpAddr, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    first: Timestamp,
    until: Option<Timestamp>,
}

impl Lockout {
    /// Nobody is locked out.
    pub fn new(config: LockoutConfig) -> Self {
        Self { config, addresses: HashMap::new() }
    }

    /// For how long `address` is still locked out, if it is.
    pub fn remaining(&self, address: IpAddr, now: Timestamp) -> Option<Duration> {
        let until = self.addresses.get(&counted_as(address))?.until?;
        (until > now).then(|| until.since(now))
    }

    /// Notes a bad key from `address`. True if it is locked out because of this one.
    pub fn failed(&mut self, address: IpAddr, now: Timestamp) -> bool {
        if self.config.bad_keys == 0 {
            return false;
        }
        let address = counted_as(address);
        if !self.addresses.contains_key(&address) && self.addresses.len() >= MAX_ADDRESSES {
            let config = self.config;
            self.addresses.retain(|_, failures| !failures.is_over(config, now));
            if self.addresses.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let failures = self.addresses.entry(address).or_insert(Failures { count: 0, first: now, until: None });
        if failures.is_over(self.config, now) {
            *failures = Failures { count: 0, first: now, until: None };
        }
        failures.count += 1;
        if failures.until.is_none() && failures.count >= self.config.bad_keys {
            failures.until = Some(now + self.config.lasts);
            return true;
        }
        false
    }
}

impl Failures {
    /// Whether they are so long ago that they don't count any more.
    fn is_over(&self, config: LockoutConfig, now: Timestamp) -> bool {
        match self.until {
            Some(until) => until <= now,
            None => now.since(self.first) >= config.within,
        }
    }
}

/// Whoever has an IPv6 address has the 2^64 beside it.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: LockoutConfig =
        LockoutConfig { bad_keys: 3, within: Duration::from_mins(1), lasts: Duration::from_mins(10) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_third_bad_key_locks_an_address_out_and_only_that() {
        let mut lockout = Lockout::new(CONFIG);
        let (bad, good) = (IpAddr::from([203, 0, 113, 7]), IpAddr::from([203, 0, 113, 8]));
        assert_eq!([0, 1, 2, 3].map(|second| lockout.failed(bad, at(second))), [false, false, true, false]);
        assert_eq!(lockout.remaining(bad, at(2)), Some(Duration::from_mins(10)));
        assert_eq!(lockout.remaining(good, at(2)), None);
        assert_eq!(lockout.remaining(bad, at(602)), None);
        // Afterwards it begins anew.
        assert_eq!([602, 603, 604].map(|second| lockout.failed(bad, at(second))), [false, false, true]);
    }

    #[test]
    fn bad_keys_now_and_then_are_forgiven() {
        let mut lockout = Lockout::new(CONFIG);
        let address = IpAddr::from([203, 0, 113, 7]);
        assert!((0..20).all(|minute| !lockout.failed(address, at(minute * 31))));
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_count_as_one() {
        let mut lockout = Lockout::new(CONFIG);
        let text = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(!lockout.failed(text("2001:db8::1"), at(0)));
        assert!(!lockout.failed(text("2001:db8::2"), at(0)));
        assert!(lockout.failed(text("2001:db8::ffff:3"), at(0)));
        assert!(lockout.remaining(text("2001:db8::4"), at(1)).is_some());
        assert_eq!(lockout.remaining(text("2001:db8:0:1::4"), at(1)), None);
        assert_eq!(counted_as(text("::ffff:203.0.113.7")), IpAddr::from([203, 0, 113, 7]));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let mut lockout = Lockout::new(CONFIG);
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 10 {
            lockout.failed(IpAddr::from(number.to_be_bytes()), at(0));
        }
        assert_eq!(lockout.addresses.len(), MAX_ADDRESSES);
        lockout.failed(IpAddr::from([203, 0, 113, 7]), at(100));
        assert_eq!(lockout.addresses.len(), 1);
    }

    #[test]
    fn without_a_limit_nobody_is_locked_out() {
        let mut lockout = Lockout::new(LockoutConfig { bad_keys: 0, ..CONFIG });
        assert!((0..100).all(|_| !lockout.failed(IpAddr::from([203, 0, 113, 7]), at(0))));
    }
}
