//! The HTTP client of all deliveries.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Response, Uri,
    body::Incoming,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::client::legacy;
use postrider_domain::{
    ErrorClass, Outcome, TenantId, Timestamp, delivery::Header, egress::EgressPolicy, outcome::parse_retry_after,
};
use tokio::time::Instant;

use super::{
    Answer, EndpointTls, Proxy, Request, VettedResolver,
    classify::{classify, silent_end},
    connect::Route,
    phases::Stopwatch,
    pools::{HttpClient, Pools},
    tls::DeploymentTls,
    wire::WireLog,
};

/// Bytes of a response's body that are kept.
const MAX_EXCERPT_BYTES: usize = 16 * 1024;
/// Bytes of a response's headers that are kept, names and values: those beyond are left out.
const MAX_KEPT_HEADER_BYTES: usize = 16 * 1024;
/// How long an answer's body is waited for once its status has come: the status has decided already, so a body
/// that trickles is not worth the lane's slot.
pub(super) const MAX_EXCERPT_WAIT: Duration = Duration::from_secs(1);

/// What an answer may be, unless the endpoint says otherwise.
pub(super) const ANYTHING: &str = "*/*";

pub(super) const PRODUCT: &str = concat!("Postrider/", env!("CARGO_PKG_VERSION"));

/// How deliveries leave.
#[derive(Debug, Clone, Default)]
pub struct EgressConfig {
    /// What the operator allows.
    pub policy: EgressPolicy,
    /// DNS servers to ask; the system's where there is none.
    pub dns_servers: Vec<SocketAddr>,
    /// A PEM file with certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy that all connections go through, by CONNECT to the address that was vetted.
    pub proxy: Option<Proxy>,
}

/// How a stage sends: the client, or a fake in the stage's tests.
pub trait Courier: Clone + Send + Sync + 'static {
    /// Sends one request and waits for what comes of it. `now` is broker time, for a `Retry-After` date.
    fn deliver(&self, request: Request, now: Timestamp) -> impl Future<Output = Answer> + Send;
}

/// Sends requests over pooled connections, HTTP/2 where the server offers it. Never follows a redirect, never reads
/// a proxy from the environment, and asks for no compression.
///
/// All of a tenant's requests to an origin that speaks HTTP/2 share one connection, within the limit of streams that
/// the peer sets. Dividing it among the endpoints there is up to their lanes: an answer says what the limit is.
#[derive(Debug, Clone)]
pub struct EgressClient {
    pools: Arc<Pools>,
}

impl EgressClient {
    /// A client that connects only where `resolver` permits. Error: the certificate authorities can't be read.
    pub fn new(config: &EgressConfig, resolver: VettedResolver) -> Result<Self, String> {
        let tls = DeploymentTls::load(config.ca_file.as_deref())?;
        let route = Route { resolver, proxy: config.proxy.clone() };
        Ok(Self { pools: Arc::new(Pools::new(route, tls)) })
    }
}

impl EgressClient {
    /// The client whose connections a request of `tenant` with these certificates may ride.
    pub(super) fn client_for(&self, tenant: &TenantId, tls: Option<&EndpointTls>, now: Instant) -> HttpClient {
        self.pools.client(tenant, tls, now)
    }

    /// Sends over a pooled connection, and once more over a new one if that was given up just then by the host: it
    /// says nothing about how the endpoint does, and the repetition bears the same `webhook-id`.
    pub(super) async fn send(
        &self,
        client: &HttpClient,
        message: hyper::Request<Full<Bytes>>,
        tls: Option<&EndpointTls>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let sent = match client.request(message.clone()).await {
            Ok(response) => Ok(response),
            Err(error) => match silent_end(&error) {
                None => Err(error),
                Some(ended) => {
                    metrics::counter!("postrider_egress_repeated_total").increment(1);
                    // An HTTP/2 connection that has ended is in no pool, and its requests share the next one. Of
                    // HTTP/1.1 the pool may have others which are ending as well.
                    let fresh = (!ended.is_http2()).then(|| self.pools.fresh_client(tls));
                    fresh.as_ref().unwrap_or(client).request(message).await
                }
            },
        };
        if let Some(log) = sent.as_ref().ok().and_then(|response| response.extensions().get::<WireLog>()) {
            log.on_answered();
        }
        sent
    }
}

impl Courier for EgressClient {
    async fn deliver(&self, request: Request, now: Timestamp) -> Answer {
        let (begun, allowed) = (Instant::now(), request.deadline);
        let deadline = begun + allowed;
        let client = self.pools.client(&request.tenant, request.tls.as_deref(), begun);
        let tls = request.tls.clone();
        let message = match message(request) {
            Ok(message) => message,
            Err(words) => return Answer::failed(ErrorClass::Configuration, words),
        };
        let watch = Stopwatch::start();
        let sending = watch.around(self.send(&client, message, tls.as_deref()));
        match tokio::time::timeout_at(deadline, sending).await {
            Err(_) => {
                let words = format!("no answer within {} ms", allowed.as_millis());
                Answer { phases: watch.failed(), ..Answer::failed(ErrorClass::Timeout, words) }
            }
            Ok(Err(error)) => {
                let (class, words) = classify(&error);
                Answer { phases: watch.failed(), ..Answer::failed(class, words) }
            }
            Ok(Ok(response)) => {
                let outcome =
                    Outcome::Answered { status: response.status().as_u16(), retry_after: retry_after(&response, now) };
                let until = deadline.min(Instant::now() + MAX_EXCERPT_WAIT);
                let log: Option<&WireLog> = response.extensions().get();
                let phases = watch.answered(log.is_some_and(|log| log.was_made_for(&watch)));
                let max_streams = log.and_then(WireLog::max_streams);
                let headers = kept_headers(response.headers());
                let excerpt = excerpt(response.into_body(), until).await;
                Answer { outcome, error_message: None, headers, excerpt, phases, max_streams }
            }
        }
    }
}

/// The request as HTTP has it. Error: what of it HTTP can't have, without its value.
fn message(request: Request) -> Result<hyper::Request<Full<Bytes>>, String> {
    let uri: Uri = request.url.as_str().parse().map_err(|_| "the URL can't be sent in a request".to_owned())?;
    let mut message = hyper::Request::new(Full::new(request.body));
    *message.method_mut() = match request.method {
        postrider_domain::Method::Post => Method::POST,
        postrider_domain::Method::Put => Method::PUT,
        postrider_domain::Method::Patch => Method::PATCH,
    };
    *message.uri_mut() = uri;
    let headers = message.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    let refused = |name: &str| format!("the header '{name}' can't be sent: its name or value is not one");
    let content_type = HeaderValue::try_from(request.content_type).map_err(|_| refused("content-type"))?;
    headers.insert(CONTENT_TYPE, content_type);
    for (name, value) in request.headers {
        let value = HeaderValue::try_from(value).map_err(|_| refused(&name))?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused(&name))?, value);
    }
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static(ANYTHING));
    Ok(message)
}

fn retry_after(response: &Response<Incoming>, now: Timestamp) -> Option<Duration> {
    parse_retry_after(response.headers().get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// The headers, in order, as far as there is room for them.
fn kept_headers(headers: &HeaderMap) -> Vec<Header> {
    let mut room = MAX_KEPT_HEADER_BYTES;
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { continue };
        room = left;
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        kept.push(Header { name: name.as_str().to_owned(), value });
    }
    kept
}

/// The beginning of the body: the status has decided already, so a body that breaks off, trickles or never ends
/// only makes the excerpt shorter. What is beyond it is not read: the connection is given up.
pub(super) async fn excerpt(mut body: Incoming, until: Instant) -> Option<String> {
    let mut kept = Vec::new();
    while kept.len() < MAX_EXCERPT_BYTES {
        let Ok(Some(Ok(frame))) = tokio::time::timeout_at(until, body.frame()).await else { break };
        let Ok(chunk) = frame.into_data() else { continue };
        let room = MAX_EXCERPT_BYTES - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    (!kept.is_empty()).then(|| text(&kept))
}

/// The first bytes of a body as text: a character that was cut in two is left out, and what is no text takes no more room
/// than text does.
fn text(kept: &[u8]) -> String {
    let whole = match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => &kept[..error.valid_up_to()],
        _ => kept,
    };
    let mut text = String::from_utf8_lossy(whole).replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(MAX_EXCERPT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_text_of_16_kib_at_most_whatever_the_bytes() {
        let cut = ["x".repeat(MAX_EXCERPT_BYTES - 1), "é".to_owned()].concat();
        assert_eq!(text(&cut.as_bytes()[..MAX_EXCERPT_BYTES]), cut[..MAX_EXCERPT_BYTES - 1]);
        let binary = text(&[0xff; MAX_EXCERPT_BYTES]);
        assert_eq!(binary.len(), MAX_EXCERPT_BYTES - MAX_EXCERPT_BYTES % 3);
        assert!(binary.chars().all(|character| character == '\u{fffd}'));
        assert_eq!(text(b"a\0b\xffc"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(text(&[0xc3]), "\u{fffd}");
    }
}
