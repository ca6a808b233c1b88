//! Where deliveries arrive: an HTTP/1.1 server that answers at once and notes as little as a measurement needs.
//!
//! A path `/<n>` is endpoint `n`. What arrives is `{… "data": {"n": <number>, "at": <µs>, …}}`, as
//! [`crate::loader`] writes it: the number tells repetitions apart, the time gives the latency.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::request::{self, Request};
use crate::stopwatch::Stopwatch;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// How much is read at once; bodies are about 1 KiB.
const READ_BYTES: usize = 16 * 1024;

/// One receipt.
#[derive(Debug, Clone, Copy)]
pub struct Receipt {
    /// The endpoint.
    pub endpoint: u32,
    /// Time since the event was written, microseconds.
    pub latency_micros: u32,
}

/// What all connections share.
struct Shared {
    stopwatch: Stopwatch,
    hanging: Vec<AtomicBool>,
    requests: AtomicU64,
    distinct: AtomicU64,
    /// A bit per event number.
    seen: Vec<AtomicU64>,
    receipts: Mutex<Vec<Receipt>>,
}

/// A running sink. Dropping it closes its connections.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

impl Sink {
    /// Starts a sink for `endpoints` endpoints and events numbered below `events`.
    pub async fn start(stopwatch: Stopwatch, endpoints: usize, events: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen on the loopback interface")?;
        let address = listener.local_addr().context("read the sink's own address")?;
        let shared = Arc::new(Shared {
            stopwatch,
            hanging: (0..endpoints).map(|_| AtomicBool::new(false)).collect(),
            requests: AtomicU64::new(0),
            distinct: AtomicU64::new(0),
            seen: (0..events.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            receipts: Mutex::default(),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _server: AbortOnDropHandle::new(server) })
    }

    /// The URL of an endpoint.
    pub fn url(&self, endpoint: usize) -> String {
        format!("http://{}/{endpoint}", self.address)
    }

    /// From now on, an endpoint answers at once, or not at all.
    pub fn hang(&self, endpoint: usize, hangs: bool) {
        self.shared.hanging[endpoint].store(hangs, Ordering::Relaxed);
    }

    /// Events received, each counted once.
    pub fn distinct(&self) -> u64 {
        self.shared.distinct.load(Ordering::Relaxed)
    }

    /// Requests beyond one an event.
    pub fn duplicates(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed) - self.distinct()
    }

    /// Forgets what was received.
    pub fn reset(&self) {
        self.shared.seen.iter().for_each(|bits| bits.store(0, Ordering::Relaxed));
        self.shared.requests.store(0, Ordering::Relaxed);
        self.shared.distinct.store(0, Ordering::Relaxed);
        self.shared.receipts.lock().clear();
    }

    /// Takes what was received since the last time.
    pub fn take_receipts(&self) -> Vec<Receipt> {
        std::mem::take(&mut *self.shared.receipts.lock())
    }

    /// Waits until `count` distinct events have arrived. Error: `patience` is over without one more.
    pub async fn wait_for(&self, count: u64, patience: Duration) -> anyhow::Result<()> {
        const POLL: Duration = Duration::from_millis(2);
        let (mut last, mut since) = (self.distinct(), tokio::time::Instant::now());
        while last < count {
            tokio::time::sleep(POLL).await;
            let now = self.distinct();
            if now > last {
                (last, since) = (now, tokio::time::Instant::now());
            }
            anyhow::ensure!(since.elapsed() < patience, "{last} of {count} events arrived, then none for {patience:?}");
        }
        Ok(())
    }

    /// Waits until nothing has arrived for `quiet`.
    pub async fn settle(&self, quiet: Duration) {
        loop {
            let before = self.shared.requests.load(Ordering::Relaxed);
            tokio::time::sleep(quiet).await;
            if self.shared.requests.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Shared {
    /// Notes a request; answers whether it is to be answered.
    fn take(&self, request: &Request<'_>) -> bool {
        let endpoint = request.endpoint;
        if self.hanging.get(endpoint).is_some_and(|hangs| hangs.load(Ordering::Relaxed)) {
            return false;
        }
        let Some(event) = request.event else { return true };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let Some(bits) = self.seen.get(event.number / 64) else { return true };
        let bit = 1 << (event.number % 64);
        if bits.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.distinct.fetch_add(1, Ordering::Relaxed);
            let latency = self.stopwatch.micros().saturating_sub(event.written_micros);
            self.receipts.lock().push(Receipt {
                endpoint: u32::try_from(endpoint).unwrap_or(u32::MAX),
                latency_micros: u32::try_from(latency).unwrap_or(u32::MAX),
            });
        }
        true
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let shared = Arc::clone(&shared);
                connections.spawn(async move { connection(stream, &shared).await });
            },
            Some(_) = connections.join_next() => {} // a client that hangs up is its own business
        }
    }
}

async fn connection(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        while let Some(request) = request::parse(&buffer) {
            let answers = shared.take(&request);
            let length = request.length;
            buffer.drain(..length);
            if answers {
                stream.write_all(ANSWER).await?;
            } else {
                // Until the client gives up: it reads nothing, and what it still sends is not looked at.
                while stream.read(&mut [0; 1024]).await? > 0 {}
                return Ok(());
            }
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
