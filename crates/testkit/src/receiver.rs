//! An HTTP receiver on the loopback interface: records what arrives, and misbehaves per path as it is told.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Uri};
use parking_lot::RwLock;
use postrider_domain::Timestamp;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

mod behaviour;
mod connection;
mod impostor;
mod ledger;
mod path;
mod reach;
mod serve;
mod tls;

pub use behaviour::Behaviour;
pub use impostor::{Impostor, Nonsense};
pub use ledger::{Disorder, Verdict, compare, disorders};
pub use reach::Reach;
pub use tls::TestCa;

use path::PathState;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
    /// When the whole of it was here, by this machine's clock.
    pub at: Timestamp,
    /// The status that it is answered with; none if the connection ends or hangs instead.
    pub answered: Option<u16>,
}

impl Received {
    /// A header's value, empty if there is none or it is not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The message id that Standard Webhooks sends along.
    pub fn webhook_id(&self) -> &str {
        self.header(standardwebhooks::HEADER_WEBHOOK_ID)
    }
}

/// What the connections share: the state of each path, made when the path is first named.
#[derive(Debug, Default)]
struct Paths(RwLock<HashMap<String, Arc<PathState>>>);

impl Paths {
    fn get(&self, path: &str) -> Arc<PathState> {
        if let Some(state) = self.0.read().get(path) {
            return Arc::clone(state);
        }
        Arc::clone(self.0.write().entry(path.to_owned()).or_default())
    }
}

/// A running receiver, HTTP/1.1 and HTTP/2. Dropping it closes its connections.
#[derive(Debug)]
pub struct Receiver {
    base: String,
    address: SocketAddr,
    paths: Arc<Paths>,
    reach: watch::Sender<Reach>,
    _server: AbortOnDropHandle<()>,
}

impl Receiver {
    /// Starts a receiver that speaks plain HTTP.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST)
    }

    /// The same at another address of the loopback interface (127.0.0.0/8): another host, to its clients.
    pub fn start_at(address: Ipv4Addr) -> anyhow::Result<Self> {
        Self::bind(None, "http", address, &address.to_string())
    }

    /// Starts a receiver that speaks TLS, with a certificate for `localhost`, 127.0.0.1 and `names`.
    pub fn start_tls(ca: &TestCa, names: &[&str]) -> anyhow::Result<Self> {
        let acceptor = TlsAcceptor::from(ca.server_config(names)?);
        Self::bind(Some(acceptor), "https", Ipv4Addr::LOCALHOST, "localhost")
    }

    fn bind(tls: Option<TlsAcceptor>, scheme: &str, address: Ipv4Addr, host: &str) -> anyhow::Result<Self> {
        let listener = reach::listen((address, 0).into()).context("listen on the loopback interface")?;
        let address = listener.local_addr().context("read the receiver's own address")?;
        let paths = Arc::new(Paths::default());
        let reach = watch::Sender::default();
        let server = tokio::spawn(serve::accept(listener, tls, Arc::clone(&paths), reach.subscribe()));
        Ok(Self {
            base: format!("{scheme}://{host}:{}", address.port()),
            address,
            paths,
            reach,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// From now on, answers requests to `path` so. A path that was told nothing answers 200.
    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        self.paths.get(path).behave(behaviour);
    }

    /// From now on, it is reached so.
    pub fn reach(&self, reach: Reach) {
        self.reach.send_replace(reach);
    }

    /// From now on, checks the signatures of requests to `path` with `secret` (`whsec_…`).
    pub fn verify(&self, path: &str, secret: &str) -> anyhow::Result<()> {
        self.paths.get(path).verify(secret).with_context(|| format!("take the secret for {path}"))
    }

    /// What has arrived at `path` so far, in order of arrival.
    pub fn received(&self, path: &str) -> Vec<Received> {
        self.paths.get(path).received()
    }

    /// How many requests have arrived at `path` so far.
    pub fn count(&self, path: &str) -> usize {
        self.paths.get(path).count()
    }

    /// How many requests to `path` had no signature or a wrong one.
    pub fn bad_signatures(&self, path: &str) -> usize {
        self.paths.get(path).bad_signatures()
    }

    /// The distinct message ids that have arrived at `path`.
    pub fn webhook_ids(&self, path: &str) -> BTreeSet<String> {
        self.received(path).iter().map(|received| received.webhook_id().to_owned()).collect()
    }

    /// Waits until `count` requests have arrived at `path`, and returns all that have.
    ///
    /// # Panics
    /// Once `limit` is over, telling how many there were.
    pub async fn wait_for(&self, path: &str, count: usize, limit: Duration) -> Vec<Received> {
        let state = self.paths.get(path);
        let arrived = tokio::time::timeout(limit, state.wait_for(count)).await;
        assert!(
            arrived.is_ok(),
            "waited {limit:?} in vain for {count} requests at {}: there were {}",
            self.url(path),
            state.count()
        );
        state.received()
    }
}

#[cfg(test)]
mod tests;
