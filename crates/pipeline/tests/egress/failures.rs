//! Connections that are not made, each with its error class.

use std::{net::IpAddr, time::Duration};

use postrider_domain::{ErrorClass, Outcome};
use postrider_pipeline::egress::Request;
use postrider_testkit::DnsServer;
use tokio::net::TcpListener;

use super::support::*;

const H1: &[&str] = &["http/1.1"];
const NAME: &str = "hooks.example.test";

async fn class_of(request: Request) -> ErrorClass {
    let answer = send(&client(None, None), request).await;
    let Outcome::Failed(class) = answer.outcome else { panic!("{answer:?}") };
    class
}

#[tokio::test]
async fn a_name_that_does_not_exist_or_has_no_address_is_a_dns_failure() {
    let dns = DnsServer::start().await.unwrap();
    let client = client(Some(dns.address()), None);
    dns.set("empty.example.test", &[]);
    for name in ["missing.example.test", "empty.example.test"] {
        let answer = send(&client, request(&format!("http://{name}/path?secret=1"))).await;
        assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Dns));
        let words = answer.error_message.unwrap();
        assert!(words.contains(name) && !words.contains("secret"), "{words}");
    }
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_at_the_next_connection() {
    let (dns, server) = (DnsServer::start().await.unwrap(), RawServer::start(CLOSING, Then::Close).await);
    let (client, url) = (client(Some(dns.address()), None), format!("http://{NAME}:{}/", server.address.port()));
    dns.set(NAME, &[IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(send(&client, request(&url)).await.outcome.status(), Some(200));
    for private in [[10, 0, 0, 1], [169, 254, 169, 254]] {
        // One private address among public ones is enough: the next answer may put it first.
        dns.set(NAME, &[IpAddr::from([127, 0, 0, 1]), IpAddr::from(private)]);
        let answer = send(&client, request(&url)).await;
        assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::AddressRefused), "{answer:?}");
    }
}

const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_private_address_in_the_url_is_refused_where_the_connection_is_made() {
    for host in ["10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:169.254.169.254]", "2852039166"] {
        assert_eq!(class_of(request(&format!("http://{host}/"))).await, ErrorClass::AddressRefused, "{host}");
    }
}

#[tokio::test]
async fn a_refused_and_a_reset_connection_are_connection_failures() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(class_of(request(&url)).await, ErrorClass::Connect);
    for then in [Then::Reset, Then::Close] {
        let server = RawServer::start("", then).await;
        assert_eq!(class_of(request(&server.url("http"))).await, ErrorClass::Connect, "{then:?}");
    }
    let server = RawServer::start("", Then::Reset).await;
    assert_eq!(class_of(request(&server.url("https"))).await, ErrorClass::Connect);
}

#[tokio::test]
async fn a_wrong_certificate_is_a_tls_failure() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let cases = [
        ("expired", ours.server("127.0.0.1", 2001, H1, false)),
        ("another name", ours.server("other.example", 2100, H1, false)),
        ("another authority", theirs.server("127.0.0.1", 2100, H1, false)),
    ];
    for (case, config) in cases {
        let server = Server::start(Some(config)).await;
        let url = server.url("https");
        assert_eq!(class_of(Request { tls: ours.trusted(None), ..request(&url) }).await, ErrorClass::Tls, "{case}");
        assert!(server.seen().is_empty(), "{case}");
    }
    let server = Server::start(Some(ours.server("127.0.0.1", 2100, H1, false))).await;
    let url = server.url("https");
    assert_eq!(class_of(request(&url)).await, ErrorClass::Tls, "the system does not know this authority");
}

#[tokio::test]
async fn a_server_that_speaks_something_else_in_the_handshake_is_a_tls_failure() {
    for (answer, then) in [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Then::KeepOpen), (b"", Then::Close)] {
        let server = RawServer::start(answer, then).await;
        assert_eq!(class_of(request(&server.url("https"))).await, ErrorClass::Tls, "{then:?}");
    }
}

#[tokio::test]
async fn the_deadline_covers_the_handshake_and_the_wait_for_an_answer() {
    for scheme in ["http", "https"] {
        let server = RawServer::start("", Then::KeepOpen).await;
        let request = Request { deadline: Duration::from_millis(200), ..request(&server.url(scheme)) };
        assert_eq!(class_of(request).await, ErrorClass::Timeout, "{scheme}");
    }
}
