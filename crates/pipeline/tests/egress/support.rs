//! Clients, requests, certificates and servers.

use std::{
    borrow::Cow,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Version, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use parking_lot::Mutex;
use postrider_domain::{
    Method, TenantId, Timestamp,
    egress::{EgressPolicy, Url},
};
use postrider_pipeline::egress::{
    Answer, Courier, EgressClient, EgressConfig, EndpointTls, Proxy, Request, VettedResolver,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// A client that may reach 127.0.0.0/8 and nothing else that is private.
pub fn client(dns: Option<SocketAddr>, proxy: Option<Proxy>) -> EgressClient {
    let policy = EgressPolicy { allow_http: true, allowed_networks: vec!["127.0.0.0/8".parse().unwrap()] };
    let dns_servers = vec![dns.unwrap_or_else(|| "127.0.0.1:9".parse().unwrap())];
    let resolver = VettedResolver::new(&dns_servers, policy.clone()).unwrap();
    EgressClient::new(&EgressConfig { policy, dns_servers, ca_file: None, proxy }, resolver).unwrap()
}

pub fn request(url: &str) -> Request {
    Request {
        tenant: TenantId::from_trusted("ten_a"),
        method: Method::Post,
        url: Arc::new(Url::parse(url).unwrap()),
        tls: None,
        content_type: "application/json".to_owned(),
        headers: vec![(Cow::Borrowed("webhook-id"), "msg_1".to_owned())],
        body: Bytes::from_static(b"{}"),
        deadline: Duration::from_secs(10),
    }
}

pub async fn send(client: &EgressClient, request: Request) -> Answer {
    client.deliver(request, Timestamp::EPOCH).await
}

/// An authority with a key of its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What trusts this authority, and shows this client certificate.
    pub fn trusted(&self, identity: Option<&str>) -> Option<Arc<EndpointTls>> {
        let authorities = self.0.pem();
        let own = EndpointTls::parse(identity.map(str::as_bytes), Some(authorities.as_bytes())).unwrap();
        own.map(Arc::new)
    }

    /// A client certificate and its key, as PEM.
    pub fn client_identity(&self) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        format!("{}{}", params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A server called `name`, until the year `until`, which offers `alpn` and asks for a client certificate if told.
    pub fn server(&self, name: &str, until: i32, alpn: &[&str], wants_client: bool) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![params.signed_by(&key, &self.0).unwrap().der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config =
            builder.with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A request, and the connection that it came by.
#[derive(Debug, Clone)]
pub struct Seen {
    pub connection: usize,
    pub version: Version,
    pub headers: HeaderMap,
    pub has_client_certificate: bool,
}

/// Answers 200 to everything and remembers it.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _running: AbortOnDropHandle<()>,
}

impl Server {
    pub async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Seen>>>::default());
        let running = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), seen.clone()));
        Self { address, seen, _running: AbortOnDropHandle::new(running) }
    }

    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/hook?secret=1", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub fn connections(&self) -> Vec<usize> {
        self.seen().iter().map(|seen| seen.connection).collect()
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = tokio::task::JoinSet::new();
    for connection in 0.. {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, seen) = (tls.clone(), seen.clone());
        connections.spawn(async move {
            match tls {
                None => serve(tcp, connection, false, seen).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(tcp).await else { return };
                    let has_client_certificate = stream.get_ref().1.peer_certificates().is_some();
                    serve(stream, connection, has_client_certificate, seen).await;
                }
            }
        });
    }
}

async fn serve<S>(stream: S, connection: usize, has_client_certificate: bool, seen: Arc<Mutex<Vec<Seen>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let (head, body) = request.into_parts();
            let _ = body.collect().await;
            let (version, headers) = (head.version, head.headers);
            seen.lock().push(Seen { connection, version, headers, has_client_certificate });
            Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from_static(b"ok"))))
        }
    });
    // A client that hangs up is its own business.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// What a raw server does once it has sent its bytes.
#[derive(Debug, Clone, Copy)]
pub enum Then {
    Close,
    Reset,
    KeepOpen,
    /// Goes on sending these, until the client hangs up.
    Repeat(&'static [u8], Duration),
}

/// Reads a request and answers bytes of the test's choice.
pub struct RawServer {
    pub address: SocketAddr,
    /// Connections that the client has closed.
    pub hung_up: Arc<AtomicUsize>,
    _running: AbortOnDropHandle<()>,
}

impl RawServer {
    pub async fn start(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, hung_up) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let (answer, closed) = (Arc::<[u8]>::from(answer.into()), hung_up.clone());
        let running = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                connections.spawn(answer_raw(tcp, answer.clone(), then, closed.clone()));
            }
        });
        Self { address, hung_up, _running: AbortOnDropHandle::new(running) }
    }

    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }
}

async fn answer_raw(mut tcp: TcpStream, answer: Arc<[u8]>, then: Then, closed: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    let _ = tcp.read(&mut buffer).await;
    let mut sent = tcp.write_all(&answer).await;
    match then {
        Then::Close => drop(tcp),
        Then::Reset => tcp.set_zero_linger().unwrap(),
        Then::KeepOpen => {
            while tcp.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            closed.fetch_add(1, Ordering::Relaxed);
        }
        Then::Repeat(bytes, pause) => {
            while sent.is_ok() {
                tokio::time::sleep(pause).await;
                sent = tcp.write_all(bytes).await;
            }
            closed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
