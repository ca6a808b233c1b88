//! An HTTP/2 server, frame by frame.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::AbortOnDropHandle;

use super::support::Authority;

const CLIENT_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;
/// `:status: 200`, of HPACK's static table.
const STATUS_200: &[u8] = &[0x88];

/// How many requests of a connection are answered; what comes after them ends it, after a GOAWAY or without a word.
type Life = (usize, bool);

/// Answers 200 as soon as a request's head has come. Connections beyond `lives` are answered for ever.
pub struct Http2Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _running: AbortOnDropHandle<()>,
}

impl Http2Server {
    /// One that takes `max_streams` at a time, if it says so.
    pub async fn start(authority: &Authority, max_streams: Option<u32>, lives: &[Life]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let tls = TlsAcceptor::from(authority.server("127.0.0.1", 2100, &["h2"], false));
        let (used, lives) = (connections.clone(), lives.to_vec());
        let running = tokio::spawn(async move {
            let mut alive = tokio::task::JoinSet::new();
            for number in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                let life = lives.get(number).copied().unwrap_or((usize::MAX, false));
                let (tls, used) = (tls.clone(), used.clone());
                alive.spawn(async move { serve(tls.accept(tcp).await?, max_streams, life, &used).await });
            }
        });
        Self { address, connections, _running: AbortOnDropHandle::new(running) }
    }

    pub fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    /// How many had requests. (Of those that are made at the same time one is used.)
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut stream: TlsStream<TcpStream>,
    max_streams: Option<u32>,
    (answered, goes_away): Life,
    used: &AtomicUsize,
) -> std::io::Result<()> {
    let setting = max_streams.map(|max| [&[0, 3][..], &max.to_be_bytes()].concat()).unwrap_or_default();
    stream.write_all(&frame(SETTINGS, 0, 0, &setting)).await?;
    stream.read_exact(&mut vec![0; CLIENT_PREFACE.len()]).await?;
    let (mut count, mut last, mut is_used) = (0, 0, false);
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await?;
        let [a, b, c, kind, flags, id @ ..] = header;
        stream.read_exact(&mut vec![0; (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c)]).await?;
        if kind == HEADERS && !std::mem::replace(&mut is_used, true) {
            used.fetch_add(1, Ordering::Relaxed);
        }
        match kind {
            SETTINGS if flags == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?,
            HEADERS if count < answered => {
                (count, last) = (count + 1, u32::from_be_bytes(id));
                stream.write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, last, STATUS_200)).await?;
            }
            HEADERS if goes_away => {
                let no_error = [last.to_be_bytes(), [0; 4]].concat();
                stream.write_all(&frame(GOAWAY, 0, 0, &no_error)).await?;
            }
            HEADERS => return Ok(()),
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
