//! From which addresses a tenant's keys work.

use std::net::IpAddr;

use ipnet::IpNet;

/// The networks that may, and those that may not. Without any, every address may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpRules {
    /// If there are any, no others may.
    pub allow: Vec<IpNet>,
    /// These may not, allowed or not.
    pub block: Vec<IpNet>,
}

/// What is decided of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Allowed,
    /// It is in this blocked network.
    Blocked(IpNet),
    /// There are allowed networks, and it is in none of them.
    NotAllowed,
}

impl IpRules {
    /// Decides of an address. One of IPv4 that is written as IPv6 counts as what it is.
    pub fn admit(&self, address: IpAddr) -> Admission {
        let address = address.to_canonical();
        if let Some(network) = self.block.iter().find(|network| network.contains(&address)) {
            Admission::Blocked(*network)
        } else if self.allow.is_empty() || self.allow.iter().any(|network| network.contains(&address)) {
            Admission::Allowed
        } else {
            Admission::NotAllowed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], block: &[&str]) -> IpRules {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        IpRules { allow: parse(allow), block: parse(block) }
    }

    #[test]
    fn what_is_blocked_may_not_and_what_is_not_allowed_neither() {
        let blocked = Admission::Blocked("10.0.0.0/24".parse().unwrap());
        let cases = [
            (rules(&[], &[]), "203.0.113.7", Admission::Allowed),
            (rules(&["10.0.0.0/8"], &[]), "10.1.2.3", Admission::Allowed),
            (rules(&["10.0.0.0/8"], &[]), "::ffff:10.1.2.3", Admission::Allowed),
            (rules(&["10.0.0.0/8"], &[]), "11.1.2.3", Admission::NotAllowed),
            (rules(&["10.0.0.0/8"], &[]), "2001:db8::1", Admission::NotAllowed),
            (rules(&["2001:db8::/32"], &[]), "2001:db8::1", Admission::Allowed),
            (rules(&["10.0.0.0/8"], &["10.0.0.0/24"]), "10.0.0.9", blocked),
            (rules(&[], &["10.0.0.0/24"]), "::ffff:10.0.0.9", blocked),
            (rules(&[], &["10.0.0.0/24"]), "10.0.1.9", Admission::Allowed),
        ];
        for (rules, address, expected) in cases {
            assert_eq!(rules.admit(address.parse().unwrap()), expected, "{address} {rules:?}");
        }
    }
}
