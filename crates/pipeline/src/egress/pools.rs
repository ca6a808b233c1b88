//! Connection pools: one for each tenant and set of certificates, within it one for each origin.
//!
//! A connection is made for one tenant with one set of certificates, and only requests of that tenant with those
//! certificates ride it. The proxy is the same for the whole process.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use parking_lot::Mutex;
use postrider_domain::TenantId;
use rustls::ClientConfig;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    EndpointTls,
    connect::{ConnectError, Route, Stream},
    phases::Stopwatch,
    tls::{DeploymentTls, Fingerprint},
};

/// A connection that is not there after so long will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that nothing rides is closed after this.
const CONNECTION_IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// A pool that nothing was sent through for so long has no connection any more, and is forgotten.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// How often such pools are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Idle HTTP/1.1 connections of one tenant to one origin: as many as a burst to all of its endpoints there takes. With
/// fewer, more than every second delivery of a backlog makes a connection that is closed behind it.
const MAX_IDLE_CONNECTIONS: usize = 1_024;
/// The head of a response, in bytes. It is compared between two reads, the last of which may be as long again.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of a response.
const MAX_HEADERS: usize = 100;
/// What an HTTP/2 peer may send ahead on one stream, and on all of a connection, in bytes.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// A pool's client. Clones share its connections.
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

/// The pools of a process.
#[derive(Debug)]
pub(super) struct Pools {
    route: Arc<Route>,
    tls: DeploymentTls,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    pools: HashMap<(TenantId, Option<Fingerprint>), Pool>,
    swept_at: Instant,
}

#[derive(Debug)]
struct Pool {
    client: HttpClient,
    used_at: Instant,
}

impl Pools {
    pub(super) fn new(route: Route, tls: DeploymentTls) -> Self {
        let known = Known { pools: HashMap::new(), swept_at: Instant::now() };
        Self { route: Arc::new(route), tls, known: Mutex::new(known) }
    }

    /// The client whose connections a request of `tenant` with these certificates may ride.
    pub(super) fn client(&self, tenant: &TenantId, own: Option<&EndpointTls>, now: Instant) -> HttpClient {
        let mut known = self.known.lock();
        if now.duration_since(known.swept_at) >= SWEEP_INTERVAL {
            known.swept_at = now;
            known.pools.retain(|_, pool| now.duration_since(pool.used_at) < POOL_IDLE_TIMEOUT);
        }
        let key = (tenant.clone(), own.map(EndpointTls::fingerprint));
        let new = || Pool { client: self.new_client(own, MAX_IDLE_CONNECTIONS), used_at: now };
        let pool = known.pools.entry(key).or_insert_with(new);
        pool.used_at = now;
        pool.client.clone()
    }

    /// A client that makes a connection for each request.
    pub(super) fn fresh_client(&self, own: Option<&EndpointTls>) -> HttpClient {
        self.new_client(own, 0)
    }

    fn new_client(&self, own: Option<&EndpointTls>, max_idle: usize) -> HttpClient {
        let connector = Connector { route: self.route.clone(), tls: self.tls.config(own) };
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(CONNECTION_IDLE_TIMEOUT)
            .pool_max_idle_per_host(max_idle)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("64 KiB fit"))
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .build(connector)
    }
}

/// Makes the connections of one pool.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    route: Arc<Route>,
    tls: Arc<ClientConfig>,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        // Called by the request that wants the connection; what goes on afterwards may be somebody else's.
        let watch = Stopwatch::current();
        Box::pin(async move {
            let connecting = this.route.connect(&uri, this.tls, &watch);
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            connected.unwrap_or(Err(ConnectError::Timeout(CONNECT_TIMEOUT)))
        })
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::egress::EgressPolicy;

    use super::*;
    use crate::egress::VettedResolver;

    fn pools() -> Pools {
        let resolver = VettedResolver::new(&["127.0.0.1:53".parse().unwrap()], EgressPolicy::default()).unwrap();
        Pools::new(Route { resolver, proxy: None }, DeploymentTls::load(None).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn pools_that_nothing_uses_are_forgotten() {
        let (pools, begun) = (pools(), Instant::now());
        for name in ["ten_a", "ten_b"] {
            pools.client(&TenantId::from_trusted(name), None, begun);
        }
        let busy = TenantId::from_trusted("ten_a");
        for second in (0..=180).step_by(30) {
            pools.client(&busy, None, begun + Duration::from_secs(second));
        }
        let known = pools.known.lock();
        assert_eq!(known.pools.keys().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>(), ["ten_a"]);
    }
}
