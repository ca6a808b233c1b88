//! Request bodies that were answered without being read to their end.
//!
//! The server closes a connection whose request was not read whole. A client that is still sending would be told
//! "connection reset" instead of the answer, and one that is done would send its next request into the closing
//! connection. So the rest is read and dropped, within bounds, and past them the answer says that it closes.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use poem::{Body, Request};

use super::problem::{Problem, ProblemKind};

/// How much of a body is read only to be dropped.
const MAX_BYTES: usize = 8 << 20;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(2);

type Chunks = BoxStream<'static, std::io::Result<Bytes>>;

/// What a handler leaves of a request's body.
pub(super) struct Unread(Option<Arc<Mutex<Chunks>>>);

impl Unread {
    /// Keeps hold of the body that `request`'s handler reads.
    pub fn of(request: &mut Request) -> Self {
        let body = request.take_body();
        if body.is_empty() {
            request.set_body(body);
            return Self(None);
        }
        let chunks = Arc::new(Mutex::new(body.into_bytes_stream().fuse().boxed()));
        let lent = Arc::clone(&chunks);
        request.set_body(Body::from_bytes_stream(stream::poll_fn(move |cx| poll(&lent, cx))));
        Self(Some(chunks))
    }

    /// Access to the body before its handler reads it.
    pub fn handle(&self) -> BodyHandle {
        BodyHandle(self.0.clone())
    }

    /// Reads what is left and drops it. False if there is more than is worth it: the connection must close.
    pub async fn drain(self) -> bool {
        let Some(chunks) = self.0 else { return true };
        let mut rest = stream::poll_fn(move |cx| poll(&chunks, cx));
        let read = async {
            let mut bytes = 0;
            while let Some(chunk) = rest.next().await {
                bytes += chunk?.len();
                if bytes > MAX_BYTES {
                    return Ok(false);
                }
            }
            std::io::Result::Ok(true)
        };
        matches!(tokio::time::timeout(PATIENCE, read).await, Ok(Ok(true)))
    }
}

/// A body that its handler will read: it can be looked at before.
#[derive(Clone, Default)]
pub(super) struct BodyHandle(Option<Arc<Mutex<Chunks>>>);

impl BodyHandle {
    /// Reads the whole body, and puts it back for its handler.
    pub async fn read(&self, max_bytes: usize) -> Result<Bytes, Problem> {
        let Some(chunks) = &self.0 else { return Ok(Bytes::new()) };
        let mut rest = stream::poll_fn(|cx| poll(chunks, cx));
        let mut body = BytesMut::new();
        while let Some(chunk) = rest.next().await {
            let chunk = chunk
                .map_err(|error| Problem::new(ProblemKind::BadRequest, format!("the body can't be read: {error}")))?;
            if body.len() + chunk.len() > max_bytes {
                return Err(Problem::new(ProblemKind::PayloadTooLarge, format!("the body is over {max_bytes} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        let again = body.clone();
        *chunks.lock() = stream::once(async move { Ok(again) }).fuse().boxed();
        Ok(body)
    }
}

fn poll(chunks: &Mutex<Chunks>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Bytes>>> {
    chunks.lock().poll_next_unpin(cx)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(chunks: usize) -> Request {
        let chunks = stream::iter((0..chunks).map(|_| std::io::Result::Ok(Bytes::from(vec![b' '; 1 << 20]))));
        Request::builder().body(Body::from_bytes_stream(chunks))
    }

    #[tokio::test]
    async fn the_rest_is_read_unless_it_is_too_much() {
        for (sent, taken, is_read) in [(4, 2, true), (8, 0, true), (12, 2, false), (12, 8, true)] {
            let mut request = upload(sent);
            let unread = Unread::of(&mut request);
            let mut body = request.take_body().into_bytes_stream();
            for _ in 0..taken {
                assert_eq!(body.next().await.unwrap().unwrap().len(), 1 << 20);
            }
            drop(body);
            assert_eq!(unread.drain().await, is_read, "{taken} of {sent}");
        }
        assert!(Unread::of(&mut Request::default()).drain().await, "none");
    }

    #[tokio::test]
    async fn a_body_that_was_looked_at_is_there_for_its_handler() {
        let mut request = upload(2);
        let handle = Unread::of(&mut request).handle();
        assert_eq!(handle.read(2 << 20).await.unwrap().len(), 2 << 20);
        assert_eq!(request.take_body().into_bytes().await.unwrap().len(), 2 << 20);
        let mut request = upload(2);
        let handle = Unread::of(&mut request).handle();
        assert_eq!(handle.read(1 << 20).await.unwrap_err().kind(), ProblemKind::PayloadTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let mut request = Request::builder().body(Body::from_bytes_stream(stream::pending::<std::io::Result<Bytes>>()));
        assert!(!Unread::of(&mut request).drain().await);
    }
}
