//! How a receiver is reached: its network's faults, as opposed to its answers.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What becomes of connections to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// They are taken.
    #[default]
    Open,
    /// Nothing answers any more: new connections are not made, nothing comes or goes on those there are.
    Blackholed,
    /// New connections are refused, and those there are have ended.
    Refused,
}

/// Connections that may wait to be taken.
const BACKLOG: u32 = 1024;
/// The least that the kernel takes; it keeps one more.
const SMALLEST_BACKLOG: u32 = 1;
/// On the loopback interface a connection is made in far less, or, once nobody takes any more, not at all.
const FILL_PATIENCE: Duration = Duration::from_millis(200);

/// Listens at `address`, which may have been listened at before.
pub(super) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    listen_with(address, BACKLOG)
}

fn listen_with(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// A listener whose queue is full, so that the kernel drops whoever else knocks, in silence.
#[derive(Debug)]
pub(super) struct Blackhole {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Blackhole {
    /// Opens one at `address`, where nobody listens.
    pub(super) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let listener = listen_with(address, SMALLEST_BACKLOG)?;
        let mut queue = Vec::new();
        while let Ok(connected) = tokio::time::timeout(FILL_PATIENCE, TcpStream::connect(address)).await {
            queue.push(connected?);
        }
        Ok(Self { _listener: listener, _queue: queue })
    }
}

/// Drives a connection, but not while the receiver is behind a blackhole; ends it when connections are refused.
pub(super) async fn behind(mut reach: watch::Receiver<Reach>, serving: impl Future<Output = ()>) {
    let mut serving = pin!(serving);
    loop {
        let now = *reach.borrow_and_update();
        match now {
            Reach::Refused => return,
            Reach::Blackholed => {}
            Reach::Open => tokio::select! {
                () = &mut serving => return,
                changed = reach.changed() => if changed.is_err() { return } else { continue },
            },
        }
        if reach.changed().await.is_err() {
            return; // the receiver is gone
        }
    }
}
