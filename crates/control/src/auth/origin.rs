//! Where a request came from, behind proxies.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The address of the caller: the peer's, unless that is a trusted proxy; then what the proxy says, and so on.
///
/// `forwarded` is what `X-Forwarded-For` has, in order: each proxy adds whom it heard from at the end. What anybody
/// but a trusted proxy wrote is not looked at; what can't be read ends the walk at the proxy that passed it on.
pub fn caller_address<'a>(
    peer: Option<IpAddr>,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted_proxies: &[IpNet],
) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted_proxies.iter().any(|network| network.contains(address));
    let mut address = peer?.to_canonical();
    for entry in forwarded.rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(&address) {
            break;
        }
        let Some(before) = parse(entry.trim()) else { break };
        address = before.to_canonical();
    }
    Some(address)
}

/// An address as proxies write it: with or without a port or brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    unbracketed.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Whether an address is in one of the networks; nobody's address is in none.
pub fn is_in(networks: &[IpNet], address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| networks.iter().any(|network| network.contains(&address.to_canonical())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
        caller_address(Some(peer.parse().unwrap()), forwarded.iter().copied(), &trusted).unwrap().to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_counts() {
        let cases: [(&str, &[&str], &str); 10] = [
            ("203.0.113.9", &[], "203.0.113.9"),
            // A caller can write what it likes.
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3"], "10.0.0.3"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, forwarded, expected) in cases {
            assert_eq!(caller(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(caller_address(None, ["198.51.100.1"].into_iter(), &[]), None);
    }

    #[test]
    fn nobodys_address_is_in_no_network() {
        let networks = ["198.51.100.0/24".parse().unwrap()];
        assert!(is_in(&networks, Some(IpAddr::from([198, 51, 100, 7]))));
        assert!(!is_in(&networks, Some(IpAddr::from([198, 51, 101, 7]))));
        assert!(!is_in(&networks, None));
    }
}
