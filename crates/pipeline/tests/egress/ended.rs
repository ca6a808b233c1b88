//! Connections that the host gives up while a request is on its way.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use postrider_domain::{ErrorClass, Outcome};
use postrider_pipeline::egress::{Answer, Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
};
use tokio_util::task::AbortOnDropHandle;

use super::{http2::Http2Server, support::*};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What becomes of one connection: so many requests are answered, and when one more has come, this.
type Life = (usize, End);

/// The end of a connection.
#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    Reset,
    /// The beginning of an answer, then a reset.
    BreakOff,
    /// Nothing for ever.
    Hang,
}

/// A server without TLS whose connections have lives of the test's choice; those beyond are answered for ever.
struct Mortal {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _running: AbortOnDropHandle<()>,
}

impl Mortal {
    async fn start(lives: &[Life]) -> Self {
        Self::serve(lives, 1).await
    }

    /// The same, but the first answer on each of these connections waits until there is a request on all of them.
    async fn start_together(lives: &[Life]) -> Self {
        Self::serve(lives, lives.len()).await
    }

    async fn serve(lives: &[Life], together: usize) -> Self {
        let all_asked = Arc::new(Barrier::new(together));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (made, came, lives) = (connections.clone(), requests.clone(), lives.to_vec());
        let running = tokio::spawn(async move {
            let mut alive = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let life = lives.get(made.fetch_add(1, Ordering::Relaxed)).copied();
                let all_asked = if life.is_some() { all_asked.clone() } else { Arc::new(Barrier::new(1)) };
                alive.spawn(live(tcp, life.unwrap_or((usize::MAX, End::Hang)), came.clone(), all_asked));
            }
        });
        Self { address, connections, requests, _running: AbortOnDropHandle::new(running) }
    }

    fn request(&self) -> Request {
        request(&format!("http://{}/", self.address))
    }

    /// Connections that were made, and requests that came.
    fn seen(&self) -> (usize, usize) {
        (self.connections.load(Ordering::Relaxed), self.requests.load(Ordering::Relaxed))
    }
}

async fn live(mut tcp: TcpStream, (answered, end): Life, requests: Arc<AtomicUsize>, all_asked: Arc<Barrier>) {
    for number in 0.. {
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            let Ok(1..) = tcp.read_buf(&mut request).await else { return };
        }
        requests.fetch_add(1, Ordering::Relaxed);
        if number == answered {
            break;
        }
        if number == 0 {
            all_asked.wait().await;
        }
        tcp.write_all(OK).await.unwrap();
    }
    match end {
        End::Close => return,
        End::Reset => {}
        End::BreakOff => {
            tcp.write_all(b"HTTP/1.1 2").await.unwrap();
            // Until it was read, which a reset would prevent.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        End::Hang => std::future::pending().await,
    }
    tcp.set_zero_linger().unwrap();
}

fn delivered(answer: &Answer) -> bool {
    answer.outcome.status() == Some(200)
}

#[tokio::test]
async fn a_request_on_a_connection_that_the_host_just_gave_up_goes_again_on_a_new_one() {
    for end in [End::Close, End::Reset] {
        let (server, client) = (Mortal::start(&[(1, end)]).await, client(None, None));
        assert!(delivered(&send(&client, server.request()).await));
        let answer = send(&client, server.request()).await;
        assert!(delivered(&answer), "{end:?}: {answer:?}");
        assert_eq!(server.seen(), (2, 3), "{end:?}");
    }
}

#[tokio::test]
async fn it_goes_again_once_only() {
    let (server, client) = (Mortal::start(&[(1, End::Reset), (0, End::Reset)]).await, client(None, None));
    assert!(delivered(&send(&client, server.request()).await));
    let answer = send(&client, server.request()).await;
    assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Connect), "{answer:?}");
    assert_eq!(server.seen(), (2, 3));
}

#[tokio::test]
async fn it_does_not_go_again_on_another_connection_that_may_be_ending_as_well() {
    let server = Mortal::start_together(&[(1, End::Reset), (1, End::Reset)]).await;
    let client = client(None, None);
    let both = tokio::join!(send(&client, server.request()), send(&client, server.request()));
    assert!(delivered(&both.0) && delivered(&both.1));
    assert_eq!(server.seen(), (2, 2));
    let answer = send(&client, server.request()).await;
    assert!(delivered(&answer), "{answer:?}");
    assert_eq!(server.seen(), (3, 4));
}

#[tokio::test]
async fn what_a_new_connection_does_to_a_request_is_the_end_of_the_attempt() {
    for end in [End::Close, End::Reset] {
        let (server, client) = (Mortal::start(&[(0, end)]).await, client(None, None));
        let answer = send(&client, server.request()).await;
        assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Connect), "{end:?}: {answer:?}");
        assert_eq!(server.seen(), (1, 1), "{end:?}");
    }
}

#[tokio::test]
async fn once_an_answer_has_begun_nothing_goes_again() {
    let (server, client) = (Mortal::start(&[(1, End::BreakOff)]).await, client(None, None));
    assert!(delivered(&send(&client, server.request()).await));
    let answer = send(&client, server.request()).await;
    assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Connect), "{answer:?}");
    assert_eq!(server.seen(), (1, 2));
}

#[tokio::test]
async fn the_repetition_is_within_the_deadline_of_its_attempt() {
    let (server, client) = (Mortal::start(&[(1, End::Close), (0, End::Hang)]).await, client(None, None));
    assert!(delivered(&send(&client, server.request()).await));
    let answer = send(&client, Request { deadline: Duration::from_millis(300), ..server.request() }).await;
    assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Timeout), "{answer:?}");
    assert_eq!(server.seen(), (2, 3));
}

#[tokio::test]
async fn requests_that_an_http_2_connection_leaves_unanswered_at_its_end_share_the_next_one() {
    for goes_away in [false, true] {
        let authority = Authority::new();
        let server = Http2Server::start(&authority, None, &[(1, goes_away)]).await;
        let client = client(None, None);
        let send = || send(&client, Request { tls: authority.trusted(None), ..request(&server.url()) });
        assert!(delivered(&send().await));
        let (first, second) = tokio::join!(send(), send());
        assert!(delivered(&first) && delivered(&second), "{first:?} {second:?}");
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn a_new_http_2_connection_that_ends_unanswered_is_a_connection_failure() {
    for goes_away in [false, true] {
        let authority = Authority::new();
        let server = Http2Server::start(&authority, None, &[(0, goes_away)]).await;
        let request = Request { tls: authority.trusted(None), ..request(&server.url()) };
        let answer = send(&client(None, None), request).await;
        assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Connect), "{answer:?}");
        assert_eq!(server.connections(), 1);
    }
}
