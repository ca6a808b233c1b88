//! Which targets a delivery may reach: decided for URLs when they are stored, and for addresses when connected.
//!
//! A public address is one that the IANA special-purpose registries do not set apart. An IPv6 address that
//! carries an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo) is as good as that one. Names are judged by
//! what they resolve to, when a connection is made; only names that can't be public are refused beforehand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use ipnet::IpNet;
use ipnet::{Ipv4Net, Ipv6Net};
pub use url::Url;
use url::{Host, ParseError};

/// The longest URL, in bytes.
pub const MAX_URL_LENGTH: usize = 2_048;

/// What an operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Whether plain HTTP is allowed.
    pub allow_http: bool,
    /// Networks that may be reached although they are not public.
    pub allowed_networks: Vec<IpNet>,
}

/// A URL that a delivery may be sent to, as far as the URL alone tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The URL, normalised as by the WHATWG.
    pub url: Url,
    /// Scheme, host and port (unless it is the scheme's own), as `https://example.com:8443`.
    pub origin: String,
}

/// Why a URL can't be an endpoint's. Shows the host at most: path and query may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Over [`MAX_URL_LENGTH`].
    #[error("the URL has {0} bytes: use at most {MAX_URL_LENGTH}")]
    TooLong(usize),
    /// White space or a control character, which a URL parser would drop in silence.
    #[error("the URL contains white space or a control character: remove it, or write it as %20")]
    Whitespace,
    /// It does not parse.
    #[error("not a URL ({0}): write it in full, as 'https://example.com/webhooks'")]
    Invalid(ParseError),
    /// Neither `https`, nor `http` where that is allowed.
    #[error("the scheme '{0}' is not allowed: use https")]
    Scheme(String),
    /// A user name or password.
    #[error("the URL contains a user name or password: remove it; deliveries are authenticated by their signature")]
    Credentials,
    /// A fragment.
    #[error("the URL has a fragment ('#…'), which is never sent to a server: remove it")]
    Fragment,
    /// A port that can't be connected to.
    #[error("the URL's port is 0: use the port that the receiver listens on")]
    Port,
    /// An address that is not public.
    #[error("the address {0} is not public: use a public host, or have the operator allow its network")]
    Address(IpAddr),
    /// A name that is not public.
    #[error("the name '{0}' is not public: use a public host, or have the operator allow its network")]
    Name(String),
}

impl EgressPolicy {
    /// Checks a URL before it is stored. Addresses in any spelling that the WHATWG's parser knows (decimal, octal,
    /// hexadecimal, shortened, mapped) are checked here; `localhost` is refused unless 127.0.0.1 is allowed,
    /// `.local` and `.internal` names unless some network is allowed.
    pub fn check_url(&self, text: &str) -> Result<Target, UrlRefused> {
        if text.len() > MAX_URL_LENGTH {
            return Err(UrlRefused::TooLong(text.len()));
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlRefused::Whitespace);
        }
        let url = Url::parse(text).map_err(UrlRefused::Invalid)?;
        if url.scheme() != "https" && !(self.allow_http && url.scheme() == "http") {
            return Err(UrlRefused::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        if url.port() == Some(0) {
            return Err(UrlRefused::Port);
        }
        self.check_host(&url.host().ok_or(UrlRefused::Invalid(ParseError::EmptyHost))?)?;
        let origin = url.origin().ascii_serialization();
        Ok(Target { url, origin })
    }

    /// Whether a connection to `ip` may be made.
    pub fn permits(&self, ip: IpAddr) -> bool {
        self.allowed_networks.iter().any(|network| network.contains(&ip))
            || match ip {
                IpAddr::V4(ip) => is_public_v4(ip),
                IpAddr::V6(ip) => self.permits_v6(ip),
            }
    }

    fn permits_v6(&self, ip: Ipv6Addr) -> bool {
        let embedded = embedded_v4(ip);
        if embedded.is_empty() {
            return is_public_v6(ip);
        }
        embedded.into_iter().all(|inner| self.permits(inner.into()))
    }

    fn check_host(&self, host: &Host<&str>) -> Result<(), UrlRefused> {
        let address: IpAddr = match host {
            Host::Domain(name) => return self.check_name(name),
            Host::Ipv4(ip) => (*ip).into(),
            Host::Ipv6(ip) => (*ip).into(),
        };
        if self.permits(address) { Ok(()) } else { Err(UrlRefused::Address(address)) }
    }

    fn check_name(&self, name: &str) -> Result<(), UrlRefused> {
        let last_label = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        let allowed = match last_label {
            "localhost" => self.permits(Ipv4Addr::LOCALHOST.into()),
            "local" | "internal" => !self.allowed_networks.is_empty(),
            _ => true,
        };
        if allowed { Ok(()) } else { Err(UrlRefused::Name(name.to_owned())) }
    }
}

/// IPv4 that is not public, by the IANA registry, and one cloud's metadata server at a public address.
const REFUSED_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),        // "this network"
    v4([10, 0, 0, 0], 8),       // private
    v4([100, 64, 0, 0], 10),    // shared by a carrier's customers
    v4([127, 0, 0, 0], 8),      // loopback
    v4([168, 63, 129, 16], 32), // Azure's host
    v4([169, 254, 0, 0], 16),   // link-local, metadata servers
    v4([172, 16, 0, 0], 12),    // private
    v4([192, 0, 0, 0], 24),     // protocol assignments
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 88, 99, 0], 24),   // 6to4 relays
    v4([192, 168, 0, 0], 16),   // private
    v4([198, 18, 0, 0], 15),    // benchmarking
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 4),      // multicast
    v4([240, 0, 0, 0], 4),      // reserved, broadcast
];

/// The part of IPv6 that is given out; everything else is local, multicast or reserved.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// What is not public within [`GLOBAL_V6`].
const REFUSED_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0], 23),     // protocol assignments, benchmarking, ORCHID
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x3fff, 0, 0], 20),     // documentation
];

const COMPATIBLE: Ipv6Net = v6([0, 0, 0], 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 16);
const TEREDO: Ipv6Net = v6([0x2001, 0, 0], 32);

const fn v4(octets: [u8; 4], prefix_length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_length)
}

const fn v6(head: [u16; 3], prefix_length: u8) -> Ipv6Net {
    let [a, b, c] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix_length)
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !REFUSED_V4.iter().any(|network| network.contains(&ip))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    GLOBAL_V6.contains(&ip) && !REFUSED_V6.iter().any(|network| network.contains(&ip))
}

/// The IPv4 addresses that traffic to an IPv6 address reaches in the end; none if it is not such an address.
fn embedded_v4(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [.., high, low] = ip.segments();
    let last = join(high, low);
    if let Some(mapped) = ip.to_ipv4_mapped() {
        vec![mapped]
    } else if COMPATIBLE.contains(&ip) || NAT64.contains(&ip) {
        vec![last]
    } else if SIX_TO_FOUR.contains(&ip) {
        vec![join(ip.segments()[1], ip.segments()[2])]
    } else if TEREDO.contains(&ip) {
        // RFC 4380: the relay server, and the client with its bits inverted.
        vec![join(ip.segments()[2], ip.segments()[3]), join(!high, !low)]
    } else {
        Vec::new()
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict() -> EgressPolicy {
        EgressPolicy::default()
    }

    fn allowing(networks: &[&str]) -> EgressPolicy {
        EgressPolicy { allow_http: true, allowed_networks: networks.iter().map(|it| it.parse().unwrap()).collect() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_public_https_url_is_a_target() {
        let target = strict().check_url("HTTPS://Example.com:443/Hooks/1?token=x").unwrap();
        assert_eq!(target.url.as_str(), "https://example.com/Hooks/1?token=x");
        assert_eq!(target.origin, "https://example.com");
        assert_eq!(strict().check_url("https://1.1.1.1:8443/").unwrap().origin, "https://1.1.1.1:8443");
        assert_eq!(strict().check_url("https://[2606:4700::1]/").unwrap().origin, "https://[2606:4700::1]");
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        let spellings = [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "0",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "1.0x1.65537.0",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "127。0。0。1",
            "127.0.0.1.",
            "[::1]",
            "[::]",
            "[::ffff:169.254.169.254]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[64:ff9b::a00:1]",
            "[64:ff9b:1::1]",
            "[2002:a00:1::]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[100::1]",
        ];
        for host in spellings {
            let refused = strict().check_url(&format!("https://{host}/")).unwrap_err();
            assert!(matches!(refused, UrlRefused::Address(_) | UrlRefused::Invalid(_)), "{host}: {refused:?}");
        }
    }

    #[test]
    fn urls_are_refused_with_their_reason() {
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL_LENGTH));
        let table = [
            ("http://example.com/", UrlRefused::Scheme("http".into())),
            ("ftp://example.com/", UrlRefused::Scheme("ftp".into())),
            ("file:///etc/passwd", UrlRefused::Scheme("file".into())),
            ("https://user@example.com/", UrlRefused::Credentials),
            ("https://:pass@example.com/", UrlRefused::Credentials),
            ("https://example.com/#top", UrlRefused::Fragment),
            ("https://example.com:0/", UrlRefused::Port),
            ("https://exa\tmple.com/", UrlRefused::Whitespace),
            (" https://example.com/", UrlRefused::Whitespace),
            ("example.com/hook", UrlRefused::Invalid(ParseError::RelativeUrlWithoutBase)),
            ("https://", UrlRefused::Invalid(ParseError::EmptyHost)),
            ("https://localhost/", UrlRefused::Name("localhost".into())),
            ("https://LOCALHOST./", UrlRefused::Name("localhost.".into())),
            ("https://a.localhost/", UrlRefused::Name("a.localhost".into())),
            ("https://printer.local/", UrlRefused::Name("printer.local".into())),
            ("https://metadata.google.internal/", UrlRefused::Name("metadata.google.internal".into())),
            (&long, UrlRefused::TooLong(long.len())),
        ];
        for (url, wanted) in table {
            assert_eq!(strict().check_url(url), Err(wanted), "{url}");
        }
    }

    #[test]
    fn what_the_operator_allows_passes() {
        let local = allowing(&["127.0.0.0/8"]);
        for url in ["http://127.0.0.1:8080/", "http://localhost:8080/", "https://[::ffff:127.0.0.1]/"] {
            assert!(local.check_url(url).is_ok(), "{url}");
        }
        assert!(local.check_url("http://10.0.0.1/").is_err());
        assert!(allowing(&["10.0.0.0/8"]).check_url("https://api.prod.internal/").is_ok());
        assert!(allowing(&["10.0.0.0/8"]).check_url("https://localhost/").is_err());
        assert!(allowing(&["fd00::/8"]).permits(ip("fd00:ec2::254")));
    }

    #[test]
    fn the_edges_of_the_ranges_are_exact() {
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::",
            "::ffff:1.1.1.1",
            "2001:200::",
            "2001:0:101:101::fefe:fefe",
        ];
        let refused = [
            "0.255.255.255",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.255.255.255",
            "168.63.129.16",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.0",
            "255.255.255.255",
            "1fff::1",
            "4000::",
            "2001:1ff::",
            "2001:2::",
            "3fff:fff::",
            "fec0::1",
            "fc00::",
            "2001:0:101:101::80ff:fffe",
            "2001:0:a00:1::fefe:fefe",
            "64:ff9b::7f00:1",
            "::ffff:0:1.1.1.1",
        ];
        for text in public {
            assert!(strict().permits(ip(text)), "{text}");
        }
        for text in refused {
            assert!(!strict().permits(ip(text)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_embedded_address_is_judged_as_itself(bits in any::<u32>()) {
            let inner = Ipv4Addr::from(bits);
            let [a, b, c, d] = inner.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let wanted = strict().permits(inner.into());
            for outer in [
                inner.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !high, !low),
            ] {
                prop_assert_eq!(strict().permits(outer.into()), wanted, "{}", outer);
            }
        }

        #[test]
        fn nothing_panics(text in ".*") {
            let _ = strict().check_url(&text);
            let _ = strict().check_url(&format!("https://{text}"));
        }
    }
}
