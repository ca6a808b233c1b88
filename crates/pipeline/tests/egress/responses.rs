//! Answers that break the rules, or try one's patience.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use postrider_domain::{ErrorClass, Outcome};
use postrider_pipeline::egress::Request;

use super::support::*;

async fn answer_to(answer: impl Into<Vec<u8>>, then: Then) -> postrider_pipeline::egress::Answer {
    let server = RawServer::start(answer, then).await;
    send(&client(None, None), request(&server.url("http"))).await
}

#[tokio::test]
async fn what_is_not_an_http_answer_is_an_invalid_response() {
    let many: Vec<String> = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = many.concat();
    let cases = [
        ("no HTTP", "SSH-2.0-OpenSSH_9.9\r\n".to_owned()),
        ("no status", "HTTP/1.1 abc OK\r\n\r\n".to_owned()),
        ("a status with four digits", "HTTP/1.1 2000 OK\r\n\r\n".to_owned()),
        ("a header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n".to_owned()),
        ("a length that is none", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".to_owned()),
        ("too many headers", format!("HTTP/1.1 200 OK\r\n{many}\r\n")),
        ("a huge header", format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(150 * 1024))),
    ];
    for (case, text) in cases {
        let answer = answer_to(text, Then::KeepOpen).await;
        assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::InvalidResponse), "{case}: {answer:?}");
    }
}

#[tokio::test]
async fn headers_that_do_not_end_are_cut_off() {
    let answer = answer_to("HTTP/1.1 200 OK\r\nx: ", Then::Repeat(&[b'x'; 8192], Duration::ZERO)).await;
    assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::InvalidResponse), "{answer:?}");
}

#[tokio::test]
async fn headers_that_trickle_run_into_the_deadline() {
    let server = RawServer::start("HTTP/1.1 200 OK\r\n", Then::Repeat(b"x", Duration::from_millis(20))).await;
    let request = Request { deadline: Duration::from_millis(300), ..request(&server.url("http")) };
    let answer = send(&client(None, None), request).await;
    assert_eq!(answer.outcome, Outcome::Failed(ErrorClass::Timeout), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_verdict_to_the_status() {
    for then in [Then::Close, Then::Reset] {
        let answer = answer_to("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", then).await;
        assert_eq!(answer.outcome.status(), Some(200), "{answer:?}");
        assert_eq!(answer.error_message, None);
    }
    let answer = answer_to("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\nnonsense", Then::KeepOpen).await;
    assert_eq!(answer.outcome.error(), Some(ErrorClass::HttpServerError));
}

#[expect(clippy::disallowed_methods, reason = "a real-time test measures real time")]
#[tokio::test]
async fn a_body_that_trickles_holds_its_slot_for_a_second_only() {
    let begun = Instant::now();
    let head = "HTTP/1.1 201 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = answer_to(head, Then::Repeat(b"1\r\n.\r\n", Duration::from_millis(50))).await;
    assert_eq!(answer.outcome.status(), Some(201));
    assert!(answer.excerpt.unwrap().starts_with(".."));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn of_an_endless_body_16_kib_are_read_and_the_connection_is_given_up() {
    let head = "HTTP/1.1 400 Bad\r\nretry-after: 7\r\n\r\n";
    let server = RawServer::start(head, Then::Repeat(&[b'x'; 8192], Duration::ZERO)).await;
    let answer = send(&client(None, None), request(&server.url("http"))).await;
    assert_eq!(answer.outcome, Outcome::Answered { status: 400, retry_after: Some(Duration::from_secs(7)) });
    assert_eq!(answer.excerpt.unwrap().len(), 16 * 1024);
    let hung_up = async {
        while server.hung_up.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), hung_up).await.expect("the connection is dropped, not drained");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(None).await;
    let head = format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", elsewhere.address);
    let answer = answer_to(head, Then::KeepOpen).await;
    assert_eq!(answer.outcome.error(), Some(ErrorClass::Redirect));
    assert!(elsewhere.seen().is_empty());
}
