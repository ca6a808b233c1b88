//! DNS with vetted answers: the address that is vetted is the one that is connected to.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use postrider_domain::egress::EgressPolicy;

/// Why a host has no address that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The look-up failed, or the name has no address.
    #[error("the host name '{host}' can't be resolved: {reason}")]
    Failed {
        /// The name.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// One of its addresses is not allowed; then none is used, since the next answer may be another.
    #[error("the host '{host}' resolves to {address}, which is not a public address")]
    Refused {
        /// The name.
        host: String,
        /// The address.
        address: IpAddr,
    },
}

/// A caching resolver that refuses what the [`EgressPolicy`] does not permit. Clones share the cache.
#[derive(Clone)]
pub struct VettedResolver {
    resolver: Arc<TokioResolver>,
    policy: Arc<EgressPolicy>,
}

impl std::fmt::Debug for VettedResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VettedResolver").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl VettedResolver {
    /// A resolver that asks `servers`, or the system's where there is none. Error: the system's configuration
    /// can't be read.
    pub fn new(servers: &[SocketAddr], policy: EgressPolicy) -> Result<Self, String> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| format!("the system's DNS configuration: {error}"))?
        } else {
            let servers = servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build().map_err(|error| format!("the DNS client can't start: {error}"))?;
        Ok(Self { resolver: Arc::new(resolver), policy: Arc::new(policy) })
    }

    /// What the operator allows.
    pub fn policy(&self) -> &EgressPolicy {
        &self.policy
    }

    /// The addresses of `host`, a name or an address, all of them permitted.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let addresses = self.unvetted(host).await?;
        match addresses.iter().find(|address| !self.policy.permits(**address)) {
            Some(refused) => Err(ResolveError::Refused { host: host.to_owned(), address: *refused }),
            None => Ok(addresses),
        }
    }

    /// The addresses of a host that the operator chose.
    pub(super) async fn unvetted(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let failed = |reason: String| ResolveError::Failed { host: host.to_owned(), reason };
        let found = self.resolver.lookup_ip(host).await.map_err(|error| failed(error.to_string()))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(addresses) }
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    NameServerConfig::new(server.ip(), true, vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())])
}
