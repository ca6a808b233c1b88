//! A peer that is no proper HTTP server: it answers with bytes that no server should send.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

const TRICKLE_INTERVAL: Duration = Duration::from_millis(100);
const CHUNK_BYTES: usize = 16 * 1024;

/// What an impostor sends once a request has begun to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonsense {
    /// Bytes that are not HTTP, then the end.
    Garbage,
    /// A status line and headers without an end.
    EndlessHeaders,
    /// One header that does not end.
    EndlessHeader,
    /// A status line, byte by byte, without an end.
    TrickledHead,
    /// 200 and a body without an end, as fast as it is taken.
    EndlessBody,
    /// 200, the promise of a longer body than comes, then the end.
    CutBody,
    /// The end, at once.
    Nothing,
}

/// A running impostor, without TLS. Dropping it closes its connections.
#[derive(Debug)]
pub struct Impostor {
    address: SocketAddr,
    counters: Arc<Counters>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    sent: AtomicU64,
}

impl Impostor {
    /// Starts one on the loopback interface.
    pub async fn start(nonsense: Nonsense) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen on the loopback interface")?;
        let address = listener.local_addr().context("read the impostor's own address")?;
        let counters = Arc::new(Counters::default());
        let server = tokio::spawn(accept(listener, nonsense, Arc::clone(&counters)));
        Ok(Self { address, counters, _server: AbortOnDropHandle::new(server) })
    }

    /// The URL of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// How many bytes it has sent: little more than its peers have read.
    pub fn sent_bytes(&self) -> u64 {
        self.counters.sent.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, nonsense: Nonsense, counters: Arc<Counters>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                counters.connections.fetch_add(1, Ordering::Relaxed);
                let counters = Arc::clone(&counters);
                connections.spawn(async move { answer(stream, nonsense, &counters).await });
            },
            Some(_) = connections.join_next() => {} // a client that hangs up is its own business
        }
    }
}

async fn answer(mut stream: TcpStream, nonsense: Nonsense, counters: &Counters) -> std::io::Result<()> {
    if stream.read(&mut vec![0; CHUNK_BYTES]).await? == 0 {
        return Ok(()); // it asked nothing
    }
    let (once, again): (&[u8], Vec<u8>) = match nonsense {
        Nonsense::Garbage => (b"\x16\x03\x01 not HTTP at all\r\n\r\n\0\0\0", Vec::new()),
        Nonsense::EndlessHeaders => (b"HTTP/1.1 200 OK\r\n", b"x-more: of it\r\n".repeat(1_000)),
        Nonsense::EndlessHeader => (b"HTTP/1.1 200 OK\r\nx-long: ", vec![b'x'; CHUNK_BYTES]),
        Nonsense::TrickledHead => (b"HTTP/1.1 200 O", b"K".to_vec()),
        Nonsense::EndlessBody => (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", vec![b'.'; CHUNK_BYTES]),
        Nonsense::CutBody => (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf", Vec::new()),
        Nonsense::Nothing => (b"", Vec::new()),
    };
    stream.write_all(once).await?;
    while !again.is_empty() {
        if nonsense == Nonsense::TrickledHead {
            tokio::time::sleep(TRICKLE_INTERVAL).await;
        }
        stream.write_all(&again).await?;
        counters.sent.fetch_add(again.len() as u64, Ordering::Relaxed);
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn first_bytes(impostor: &Impostor, count: usize) -> Vec<u8> {
        let mut stream = TcpStream::connect(impostor.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn it_sends_what_it_was_told_to_and_counts() {
        for (nonsense, begins, endless) in [
            (Nonsense::Garbage, &b"\x16\x03\x01"[..], false),
            (Nonsense::EndlessHeaders, b"HTTP/1.1 200 OK\r\nx-more", true),
            (Nonsense::EndlessHeader, b"HTTP/1.1 200 OK\r\nx-long: xxx", true),
            (Nonsense::TrickledHead, b"HTTP/1.1 200 OKKK", true),
            (Nonsense::EndlessBody, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n....", true),
            (Nonsense::CutBody, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf", false),
        ] {
            let impostor = Impostor::start(nonsense).await.unwrap();
            assert_eq!(first_bytes(&impostor, begins.len()).await, begins, "{nonsense:?}");
            assert_eq!((impostor.connections(), impostor.sent_bytes() > 0), (1, endless), "{nonsense:?}");
        }
        let impostor = Impostor::start(Nonsense::Nothing).await.unwrap();
        assert!(reqwest::get(impostor.url("/")).await.is_err());
    }
}
