//! The receiver's server side: connections, requests, answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{Stream, StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Empty, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderName, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use postrider_domain::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::behaviour::Answer;
use super::connection::Connection;
use super::reach::{Blackhole, Reach, behind, listen};
use super::{Paths, Received};

type Body = Either<Empty<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

/// By which a receiver allows an origin (CloudEvents' abuse protection).
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const HUGE_CHUNKS: usize = 1024;
const HUGE_CHUNK: &[u8] = &[b'x'; 64 * 1024];
const TRICKLE_INTERVAL: Duration = Duration::from_millis(100);

/// Takes connections until it is dropped, and its connections with it.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    paths: Arc<Paths>,
    mut reach: watch::Receiver<Reach>,
) {
    let address = listener.local_addr().expect("a listener has an address");
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let now = *reach.borrow_and_update();
        let changed = match (now, &listener) {
            (Reach::Open, Some(open)) => tokio::select! {
                accepted = open.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let serving = connection(stream, tls.clone(), Arc::clone(&paths));
                        connections.spawn(behind(reach.clone(), serving));
                    }
                    Ok(())
                }
                Some(_) = connections.join_next() => Ok(()),
                changed = reach.changed() => changed,
            },
            (Reach::Open, None) => {
                listener = Some(listen(address).expect("the port is still ours to listen at"));
                Ok(())
            }
            (Reach::Blackholed, _) => {
                drop(listener.take());
                let _blackhole = Blackhole::open(address).await.expect("the port is still ours to listen at");
                reach.changed().await
            }
            (Reach::Refused, _) => {
                drop(listener.take());
                reach.changed().await
            }
        };
        if changed.is_err() {
            return; // the receiver is gone
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, paths: Arc<Paths>) {
    let _ = stream.set_nodelay(true); // only speed depends on it
    let reset = CancellationToken::new();
    let stream = Connection::new(stream, reset.clone());
    match tls {
        None => requests(stream, paths, reset).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                requests(stream, paths, reset).await;
            }
        }
    }
}

async fn requests<S>(stream: S, paths: Arc<Paths>, reset: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let resetting = reset.clone();
    let service = service_fn(move |request| answer(request, Arc::clone(&paths), resetting.clone()));
    let server = auto::Builder::new(TokioExecutor::new());
    let serving = server.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = reset.cancelled() => {}
        _ = serving => {} // a client that hangs up is its own business
    }
}

async fn answer(
    request: Request<Incoming>,
    paths: Arc<Paths>,
    reset: CancellationToken,
) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path().to_owned();
    let sent = body.clone();
    let received =
        Received { method: head.method, uri: head.uri, headers: head.headers, body, at: now(), answered: None };
    Ok(match paths.get(&path).take(received) {
        Answer::Status(status) => empty(status),
        Answer::StatusAfter(delay) => {
            tokio::time::sleep(delay).await;
            empty(200)
        }
        Answer::Hang => std::future::pending().await,
        Answer::Reset => {
            reset.cancel();
            std::future::pending().await
        }
        Answer::Redirect(location) => with_header(empty(302), LOCATION, &location),
        Answer::RetryAfter(status, value) => with_header(empty(status), RETRY_AFTER, &value),
        Answer::Welcome => {
            let echoed = streaming(stream::once(async { sent }));
            with_header(echoed, ALLOWED_ORIGIN, "*")
        }
        Answer::Echo(status, text) => {
            let mut echoed = streaming(stream::once(async { text.into() }));
            *echoed.status_mut() = empty(status).status();
            echoed
        }
        Answer::HugeBody => streaming(stream::repeat(Bytes::from_static(HUGE_CHUNK)).take(HUGE_CHUNKS)),
        Answer::Trickle => streaming(stream::repeat(Bytes::from_static(b".")).then(async |byte| {
            tokio::time::sleep(TRICKLE_INTERVAL).await;
            byte
        })),
    })
}

fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Either::Left(Empty::new()));
    *response.status_mut() = status.try_into().expect("tests answer with statuses from 100 to 999");
    response
}

fn with_header(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    let value = value.parse().expect("tests answer with headers of visible characters");
    response.headers_mut().insert(name, value);
    response
}

fn streaming(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let frames = chunks.map(|chunk| Ok(Frame::data(chunk)));
    Response::new(Either::Right(StreamBody::new(frames).boxed_unsync()))
}

#[expect(clippy::disallowed_methods, reason = "arrival times are read where requests arrive")]
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is past 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("the clock is before the year 292 million"))
}
