//! Through an egress proxy.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use parking_lot::Mutex;
use postrider_domain::{ErrorClass, Outcome};
use postrider_pipeline::egress::{Proxy, Request};
use postrider_testkit::DnsServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::support::*;

const NAME: &str = "hooks.example.test";

/// A proxy that does as CONNECT says, and remembers what it was told.
struct Tunnels {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _running: AbortOnDropHandle<()>,
}

impl Tunnels {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, heads) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let seen = heads.clone();
        let running = tokio::spawn(async move {
            let mut tunnels = tokio::task::JoinSet::new();
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let seen = seen.clone();
                tunnels.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(tcp.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let target: SocketAddr = head.split(' ').nth(1).unwrap().parse().unwrap();
                    seen.lock().push(head);
                    let mut beyond = TcpStream::connect(target).await.unwrap();
                    tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                    let _ = copy_bidirectional(&mut tcp, &mut beyond).await; // either side may hang up
                });
            }
        });
        Self { address, heads, _running: AbortOnDropHandle::new(running) }
    }

    fn proxy(&self) -> Proxy {
        format!("http://user:pass@{}", self.address).parse().unwrap()
    }
}

#[tokio::test]
async fn the_proxy_is_told_the_vetted_address_and_tls_is_with_the_name() {
    let (dns, proxy, authority) = (DnsServer::start().await.unwrap(), Tunnels::start().await, Authority::new());
    let server = Server::start(Some(authority.server(NAME, 2100, &["h2"], false))).await;
    dns.set(NAME, &[IpAddr::from([127, 0, 0, 1])]);
    let client = client(Some(dns.address()), Some(proxy.proxy()));
    let url = format!("https://{NAME}:{}/", server.address.port());
    let answer = send(&client, Request { tls: authority.trusted(None), ..request(&url) }).await;
    assert_eq!(answer.outcome.status(), Some(200), "{answer:?}");
    let target = server.address;
    let wanted =
        format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n");
    assert_eq!(*proxy.heads.lock(), [wanted]);
}

#[tokio::test]
async fn plain_http_goes_through_a_tunnel_too_and_a_private_address_does_not() {
    let (dns, proxy, server) = (DnsServer::start().await.unwrap(), Tunnels::start().await, Server::start(None).await);
    dns.set(NAME, &[IpAddr::from([127, 0, 0, 1])]);
    dns.set("private.example.test", &[IpAddr::from([10, 0, 0, 1])]);
    let client = client(Some(dns.address()), Some(proxy.proxy()));
    let answer = send(&client, request(&format!("http://{NAME}:{}/", server.address.port()))).await;
    assert_eq!(answer.outcome.status(), Some(200), "{answer:?}");
    for host in ["private.example.test", "169.254.169.254"] {
        let refused = send(&client, request(&format!("http://{host}/"))).await;
        assert_eq!(refused.outcome, Outcome::Failed(ErrorClass::AddressRefused), "{refused:?}");
    }
    assert_eq!(proxy.heads.lock().len(), 1);
    assert!(server.seen()[0].headers.get("proxy-authorization").is_none());
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_not_there_is_a_connection_failure() {
    let table: [(&str, &str); 3] = [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "502"),
        ("nonsense\r\n\r\n", "does not speak HTTP"),
    ];
    for (answer, words) in table {
        let server = RawServer::start(answer, Then::KeepOpen).await;
        let client = client(None, Some(server.url("http").parse().unwrap()));
        let answer = send(&client, request("https://127.0.0.1:1/")).await;
        assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Connect));
        assert!(answer.error_message.as_ref().unwrap().contains(words), "{answer:?}");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = send(&client(None, Some(gone.parse().unwrap())), request("https://127.0.0.1:1/")).await;
    assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Connect));
}
