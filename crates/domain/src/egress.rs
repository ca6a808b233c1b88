//! Which targets a delivery may reach: decided for URLs when they are stored, and for addresses when connected.

use std::net::IpAddr;

pub use ipnet::IpNet;
pub use url::Url;

/// What an operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Whether plain HTTP is allowed.
    pub allow_http: bool,
    /// Networks that may be reached although they are private.
    pub allowed_networks: Vec<IpNet>,
}

/// A URL that may be stored as an endpoint's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The URL, normalised.
    pub url: Url,
    /// Scheme, host and port.
    pub origin: String,
}

/// Refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// x
    #[error("x")]
    NotAUrl,
}

impl EgressPolicy {
    /// Checks.
    pub fn check_url(&self, text: &str) -> Result<Target, UrlRefused> {
        todo!()
    }
    /// Permits.
    pub fn permits(&self, ip: IpAddr) -> bool {
        todo!()
    }
}
