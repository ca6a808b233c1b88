//! The HTTP client of all deliveries.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use postrider_domain::{
    ErrorClass, Outcome, Timestamp,
    egress::{EgressPolicy, Url},
    outcome::parse_retry_after,
};
use reqwest::{Client, Response, header};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::Instant;

use super::{VettedResolver, classify::classify};

/// Bytes of a response's body that are kept.
const MAX_EXCERPT_BYTES: usize = 16 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const MAX_IDLE_PER_HOST: usize = 64;

/// How deliveries leave.
#[derive(Debug, Clone, Default)]
pub struct EgressConfig {
    /// What the operator allows.
    pub policy: EgressPolicy,
    /// DNS servers to ask; the system's where there is none.
    pub dns_servers: Vec<SocketAddr>,
    /// A PEM file with certificate authorities that are trusted besides the system's.
    pub ca_file: Option<std::path::PathBuf>,
}

/// One signed request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub url: Arc<Url>,
    /// `content-type`.
    pub content_type: String,
    /// The signature's and other headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// From the start of the request to the end of the answer.
    pub deadline: Duration,
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The outcome.
    pub outcome: Outcome,
    /// The failure in words; none if there was an answer.
    pub error_message: Option<String>,
    /// The first bytes of the answer's body.
    pub excerpt: Option<String>,
}

impl Answer {
    /// A failure without an answer.
    pub fn failed(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed(class), error_message: Some(message.into()), excerpt: None }
    }
}

/// How a stage sends: the client, or a fake in the stage's tests.
pub trait Courier: Clone + Send + Sync + 'static {
    /// Sends one request and waits for what comes of it. `now` is broker time, for a `Retry-After` date.
    fn deliver(&self, request: Request, now: Timestamp) -> impl Future<Output = Answer> + Send;
}

/// Sends requests over pooled connections; never follows a redirect, never uses a proxy of the environment.
#[derive(Debug, Clone)]
pub struct EgressClient {
    client: Client,
}

impl EgressClient {
    /// A client that connects only where `resolver` permits. Error: the certificate authorities can't be read.
    pub fn new(config: &EgressConfig, resolver: VettedResolver) -> Result<Self, String> {
        let roots = roots(config.ca_file.as_deref())?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client = Client::builder()
            .user_agent(concat!("Postrider/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .tcp_nodelay(true)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| format!("the HTTP client can't start: {error}"))?;
        Ok(Self { client })
    }
}

impl Courier for EgressClient {
    async fn deliver(&self, request: Request, now: Timestamp) -> Answer {
        let deadline = Instant::now() + request.deadline;
        let mut builder = self.client.post((*request.url).clone()).header(header::CONTENT_TYPE, request.content_type);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        match tokio::time::timeout_at(deadline, builder.body(request.body).send()).await {
            Err(_) => {
                Answer::failed(ErrorClass::Timeout, format!("no answer within {} ms", request.deadline.as_millis()))
            }
            Ok(Err(error)) => {
                let (class, words) = classify(error);
                Answer::failed(class, words)
            }
            Ok(Ok(response)) => {
                let outcome =
                    Outcome::Answered { status: response.status().as_u16(), retry_after: retry_after(&response, now) };
                Answer { outcome, error_message: None, excerpt: excerpt(response, deadline).await }
            }
        }
    }
}

fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    parse_retry_after(response.headers().get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// The beginning of the body: the status has decided already, so a body that breaks off or never ends only
/// makes the excerpt shorter.
async fn excerpt(mut response: Response, deadline: Instant) -> Option<String> {
    let mut kept = Vec::new();
    while kept.len() < MAX_EXCERPT_BYTES {
        match tokio::time::timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = MAX_EXCERPT_BYTES - kept.len();
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            _ => break,
        }
    }
    (!kept.is_empty()).then(|| String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}"))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "some of the system's certificate authorities can't be read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let unreadable = |error: &dyn std::fmt::Display| format!("egress.ca_file '{}': {error}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    }
    Ok(roots)
}
