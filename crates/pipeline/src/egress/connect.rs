//! One connection: to a vetted address, directly or through the proxy, with TLS where the URL asks for it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use hyper::{
    Uri,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use super::{
    Proxy, ResolveError, VettedResolver,
    phases::{Phase, Stopwatch},
    wire::Wire,
};

/// After this long without an answer the next address is tried beside the one before (RFC 8305, section 8).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL has no host or a port that is none.
    #[error("the URL has no host that can be connected to")]
    Target,
    /// There is no address that may be connected to.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// None of the addresses could be connected to.
    #[error("no connection: {0}")]
    Tcp(#[source] io::Error),
    /// There is no connection through the proxy.
    #[error("no connection through the egress proxy: {0}")]
    Proxy(String),
    /// The server could not be proved to be the right one, or does not speak TLS.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// All of it took too long.
    #[error("no connection within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// How connections leave: the same for all endpoints.
#[derive(Debug)]
pub(super) struct Route {
    pub resolver: VettedResolver,
    pub proxy: Option<Proxy>,
}

impl Route {
    /// Connects to the origin of `uri`, timed by `watch`. The address is vetted here, each time: a name may have changed
    /// hands since.
    pub(super) async fn connect(
        &self,
        uri: &Uri,
        tls: Arc<ClientConfig>,
        watch: &Arc<Stopwatch>,
    ) -> Result<Stream, ConnectError> {
        let host = uri.host().ok_or(ConnectError::Target)?.trim_matches(['[', ']']);
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let addresses = watch.time(Phase::Dns, self.resolver.resolve(host)).await?;
        let targets: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).take(MAX_ADDRESSES).collect();
        let connecting = async {
            match &self.proxy {
                None => connect_to_any(&targets).await.map_err(ConnectError::Tcp),
                Some(proxy) => self.through(proxy, &targets).await.map_err(ConnectError::Proxy),
            }
        };
        let tcp = watch.time(Phase::Connect, connecting).await?;
        let (io, offers_h2) = if is_https {
            let io = watch.time(Phase::Tls, handshake(tcp, host, tls)).await?;
            let offers_h2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
            (Either::Right(io), offers_h2)
        } else {
            (Either::Left(tcp), false)
        };
        watch.connected();
        Ok(Stream(TokioIo::new(Wire::new(io, offers_h2, watch))))
    }

    /// A tunnel to the first of `targets` that the proxy can reach.
    async fn through(&self, proxy: &Proxy, targets: &[SocketAddr]) -> Result<TcpStream, String> {
        let addresses = self.resolver.unvetted(&proxy.host).await.map_err(|error| error.to_string())?;
        let addresses: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, proxy.port)).collect();
        let mut refused = "there is no address".to_owned();
        for target in targets {
            let mut tcp = connect_to_any(&addresses).await.map_err(|error| error.to_string())?;
            match proxy.tunnel(&mut tcp, *target).await {
                Ok(()) => return Ok(tcp),
                Err(reason) => refused = reason,
            }
        }
        Err(refused)
    }
}

/// Tries the addresses in order, the next one beside the one before if that takes its time.
async fn connect_to_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut attempts: FuturesUnordered<_> = (0..)
        .zip(addresses)
        .map(|(place, address)| async move {
            tokio::time::sleep(NEXT_ADDRESS_AFTER * place).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn handshake(tcp: TcpStream, host: &str, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, ConnectError> {
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(|error| ConnectError::Tls(io::Error::other(error)))?,
    };
    TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| match error.get_ref() {
        // A peer that hangs up in the middle does not want to speak TLS with us; one that resets may be gone.
        Some(_) => ConnectError::Tls(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => ConnectError::Tls(error),
        None => ConnectError::Tcp(error),
    })
}

/// A connection, as the HTTP client takes it. Answers and errors that come of it carry its log.
#[derive(Debug)]
pub(super) struct Stream(TokioIo<Wire<Either<TcpStream, TlsStream<TcpStream>>>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let log = self.0.inner().log();
        let connected = Connected::new().extra(log.clone());
        if log.is_http2() { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
