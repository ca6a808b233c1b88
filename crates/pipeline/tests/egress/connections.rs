//! Who rides whose connection.

use postrider_domain::{Outcome, TenantId};
use postrider_pipeline::egress::Request;

use super::{http2::Http2Server, support::*};

const H1: &[&str] = &["http/1.1"];
const H2: &[&str] = &["h2", "http/1.1"];

fn delivered(answer: &postrider_pipeline::egress::Answer) -> bool {
    matches!(answer.outcome, Outcome::Answered { status: 200, .. })
}

#[tokio::test]
async fn a_tenant_reuses_its_connection_and_never_anothers() {
    let (server, client) = (Server::start(None).await, client(None, None));
    let url = server.url("http");
    for tenant in ["ten_a", "ten_a", "ten_b", "ten_a"] {
        let answer = send(&client, Request { tenant: TenantId::from_trusted(tenant), ..request(&url) }).await;
        assert!(delivered(&answer), "{answer:?}");
    }
    assert_eq!(server.connections(), [0, 0, 1, 0]);
}

#[tokio::test]
async fn the_parts_of_an_attempt_are_timed_and_what_a_connection_took_counts_once() {
    for alpn in [H1, H2] {
        let authority = Authority::new();
        let server = Server::start(Some(authority.server("127.0.0.1", 2100, alpn, false))).await;
        let (client, url) = (client(None, None), server.url("https"));
        for made in [true, false] {
            let answer = send(&client, Request { tls: authority.trusted(None), ..request(&url) }).await;
            assert!(delivered(&answer), "{answer:?}");
            let phases = answer.phases;
            let setup = [phases.dns_us, phases.connect_us, phases.tls_us];
            assert!(
                setup.iter().all(|took| took.is_some() == made) && phases.wait_us.is_some(),
                "{alpn:?}: {phases:?}"
            );
            assert!(!made || phases.tls_us > Some(0), "{phases:?}");
            assert!(answer.headers.iter().any(|header| header.name == "content-length"), "{:?}", answer.headers);
        }
    }
    let nobody = send(&client(None, None), request("http://127.0.0.1:1/")).await;
    assert_eq!(nobody.outcome, Outcome::Failed(postrider_domain::ErrorClass::Connect));
    let phases = nobody.phases;
    assert!(phases.dns_us.is_some() && phases.connect_us.is_some(), "{phases:?}");
    assert_eq!((phases.tls_us, phases.wait_us), (None, None));
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_its_connection_is_not_lent() {
    for alpn in [H1, H2] {
        let authority = Authority::new();
        let server = Server::start(Some(authority.server("127.0.0.1", 2100, alpn, true))).await;
        let (client, url) = (client(None, None), server.url("https"));
        let known = authority.trusted(Some(&authority.client_identity()));
        for _ in 0..2 {
            let answer = send(&client, Request { tls: known.clone(), ..request(&url) }).await;
            assert!(delivered(&answer), "{answer:?}");
        }
        let unknown = send(&client, Request { tls: authority.trusted(None), ..request(&url) }).await;
        assert_eq!(unknown.outcome, Outcome::Failed(postrider_domain::ErrorClass::Tls), "{unknown:?}");
        let other = authority.trusted(Some(&authority.client_identity()));
        assert!(delivered(&send(&client, Request { tls: other, ..request(&url) }).await));
        assert!(server.seen().iter().all(|seen| seen.has_client_certificate));
        let connections = server.connections();
        assert_eq!((connections.len(), connections[0]), (3, connections[1]));
        assert_ne!(connections[0], connections[2]);
    }
}

#[tokio::test]
async fn http_2_is_used_where_it_is_offered_on_one_connection() {
    let authority = Authority::new();
    for (alpn, version) in [(H2, hyper::Version::HTTP_2), (H1, hyper::Version::HTTP_11), (&[], hyper::Version::HTTP_11)]
    {
        let server = Server::start(Some(authority.server("127.0.0.1", 2100, alpn, false))).await;
        let (client, url) = (client(None, None), server.url("https"));
        let tls = authority.trusted(None);
        assert!(delivered(&send(&client, Request { tls: tls.clone(), ..request(&url) }).await));
        if version == hyper::Version::HTTP_2 {
            let both = || send(&client, Request { tls: tls.clone(), ..request(&url) });
            tokio::join!(both(), both(), both());
            assert_eq!(server.connections(), [0; 4]);
        }
        assert!(server.seen().iter().all(|seen| seen.version == version), "{:?}", server.seen());
    }
}

#[tokio::test]
async fn an_answer_says_how_many_streams_the_peer_takes_on_the_connection_that_endpoints_share() {
    let authority = Authority::new();
    for limit in [Some(20), None] {
        let (server, client) = (Http2Server::start(&authority, limit, &[]).await, client(None, None));
        let request = || Request { tls: authority.trusted(None), ..request(&server.url()) };
        for _ in 0..2 {
            let answer = send(&client, request()).await;
            assert!(delivered(&answer), "{answer:?}");
            assert_eq!(answer.max_streams, limit);
        }
    }
    let server = Server::start(None).await;
    assert_eq!(send(&client(None, None), request(&server.url("http"))).await.max_streams, None, "HTTP/1.1");
}

#[tokio::test]
async fn a_request_carries_its_headers_and_asks_for_nothing_compressed() {
    let (server, client) = (Server::start(None).await, client(None, None));
    let mut request = request(&server.url("http"));
    request.headers.push(("authorization".into(), "Bearer x".to_owned()));
    let mut chosen = request.clone();
    chosen.headers.push(("accept".into(), "application/json".to_owned()));
    assert!(delivered(&send(&client, request).await) && delivered(&send(&client, chosen).await));
    let accepted = |index: usize| server.seen()[index].headers.get_all("accept").iter().cloned().collect::<Vec<_>>();
    assert_eq!((accepted(0), accepted(1)), (vec!["*/*".parse().unwrap()], vec!["application/json".parse().unwrap()]));
    let headers = &server.seen()[0].headers;
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(value("webhook-id").as_deref(), Some("msg_1"));
    assert_eq!(value("authorization").as_deref(), Some("Bearer x"));
    assert_eq!(value("content-type").as_deref(), Some("application/json"));
    assert_eq!(value("content-length").as_deref(), Some("2"));
    assert_eq!(value("accept-encoding"), None);
    assert!(value("user-agent").unwrap().starts_with("Postrider/"));
}
