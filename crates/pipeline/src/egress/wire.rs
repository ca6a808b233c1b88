//! What a connection shows of itself while its bytes go by: whether a request on it was answered with so much as one
//! byte, and how many streams its peer takes at a time.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    phases::Stopwatch,
    streams::{Preface, streams_allowed},
};

/// No limit that the peer has told.
const UNLIMITED: u32 = u32::MAX;

/// What is known of one connection. Clones tell of the same one.
#[derive(Debug, Clone)]
pub(super) struct WireLog(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    is_http2: bool,
    /// Requests that were answered on it.
    answered: AtomicU32,
    /// Over HTTP/1.1: whether a byte came since the last request began.
    heard: AtomicBool,
    max_streams: AtomicU32,
    /// The stopwatch of the request that it was made for.
    made_for: Weak<Stopwatch>,
}

impl WireLog {
    /// A request on this connection was answered.
    pub(super) fn on_answered(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Of a connection that failed under a request: whether it had answered one before, and no byte of an answer to
    /// this one came. Over HTTP/2 a request that failed has none, since the head of an answer comes as a whole.
    pub(super) fn ended_in_silence(&self) -> bool {
        let heard = !self.0.is_http2 && self.0.heard.load(Ordering::Relaxed);
        self.0.answered.load(Ordering::Relaxed) > 0 && !heard
    }

    /// Whether it was made for the request that `watch` times.
    pub(super) fn was_made_for(&self, watch: &Arc<Stopwatch>) -> bool {
        Weak::ptr_eq(&self.0.made_for, &Arc::downgrade(watch))
    }

    /// Whether requests share it.
    pub(super) fn is_http2(&self) -> bool {
        self.0.is_http2
    }

    /// How many streams the peer takes at a time; none over HTTP/1.1, and where it sets no limit.
    pub(super) fn max_streams(&self) -> Option<u32> {
        Some(self.0.max_streams.load(Ordering::Relaxed)).filter(|max| *max != UNLIMITED)
    }
}

/// A connection whose bytes are looked at.
#[derive(Debug)]
pub(super) struct Wire<S> {
    io: S,
    log: WireLog,
    /// The requests that had been answered when the last one began.
    answered_before: u32,
    /// The beginning of what an HTTP/2 peer says, until its settings are complete.
    preface: Option<Vec<u8>>,
}

impl<S> Wire<S> {
    pub(super) fn new(io: S, is_http2: bool, made_for: &Arc<Stopwatch>) -> Self {
        let seen = Seen {
            is_http2,
            answered: AtomicU32::new(0),
            heard: AtomicBool::new(false),
            max_streams: AtomicU32::new(UNLIMITED),
            made_for: Arc::downgrade(made_for),
        };
        Self { io, log: WireLog(Arc::new(seen)), answered_before: 0, preface: is_http2.then(Vec::new) }
    }

    pub(super) fn log(&self) -> &WireLog {
        &self.log
    }

    fn on_read(&mut self, bytes: &[u8]) {
        let seen = &*self.log.0;
        if !seen.is_http2 {
            seen.heard.store(true, Ordering::Relaxed);
        } else if let Some(preface) = &mut self.preface {
            preface.extend_from_slice(bytes);
            match streams_allowed(preface) {
                Preface::Incomplete => return,
                Preface::Settings(limit) => seen.max_streams.store(limit.unwrap_or(UNLIMITED), Ordering::Relaxed),
            }
            self.preface = None;
        }
    }

    /// The first write since a request was answered begins the next one. Where that is not known yet, what came before
    /// counts as an answer to this one: better one repetition too few.
    fn on_write(&mut self) {
        let answered = self.log.0.answered.load(Ordering::Relaxed);
        if answered != self.answered_before {
            self.answered_before = answered;
            self.log.0.heard.store(false, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, into))?;
        if into.filled().len() > before {
            self.on_read(&into.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.on_write();
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.on_write();
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    async fn hear(wire: &mut Wire<DuplexStream>, peer: &mut DuplexStream) {
        peer.write_all(b"!").await.unwrap();
        wire.read_u8().await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_ends_in_silence_if_it_was_used_before_and_says_nothing_to_the_last_request() {
        let (io, mut peer) = duplex(64);
        let mut wire = Wire::new(io, false, &Stopwatch::start());
        let log = wire.log().clone();
        wire.write_all(b"one").await.unwrap();
        assert!(!log.ended_in_silence(), "it is fresh");
        hear(&mut wire, &mut peer).await;
        log.on_answered();
        hear(&mut wire, &mut peer).await; // the rest of the answer
        wire.write_all(b"two").await.unwrap();
        assert!(log.ended_in_silence());
        hear(&mut wire, &mut peer).await;
        wire.write_all(b"the rest of two").await.unwrap();
        assert!(!log.ended_in_silence(), "it has begun to answer");
    }

    #[tokio::test]
    async fn the_streams_that_a_peer_takes_are_known_once_its_settings_have_come() {
        const SETTINGS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        let (io, mut peer) = duplex(64);
        let mut wire = Wire::new(io, true, &Stopwatch::start());
        let log = wire.log().clone();
        for part in [&SETTINGS[..10], &SETTINGS[10..], SETTINGS] {
            assert_eq!(log.max_streams(), (part.len() == SETTINGS.len()).then_some(100));
            peer.write_all(part).await.unwrap();
            wire.read_exact(&mut vec![0; part.len()]).await.unwrap();
        }
        log.on_answered();
        assert!(log.ended_in_silence(), "what else came is no answer");
    }
}
