//! What happens around every request.

use std::time::Duration;

use bytes::Bytes;
use poem::{Request, Response, http::Method};
use postrider_domain::TenantId;
use postrider_postgres::tenants;
use serde_json::json;

use super::fixture::Fixture;
use crate::api::{ApiConfig, gzip};

#[tokio::test]
async fn pages_of_configured_origins_may_call_and_others_may_not() {
    let api = Fixture::new().await;
    for (origin, is_allowed) in [("https://app.example.com", true), ("https://evil.example", false)] {
        let preflight = Request::builder()
            .method(Method::OPTIONS)
            .uri_str("/v1/endpoints")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .finish();
        let answer = api.send_raw(preflight).await;
        assert_eq!(answer.status() == 204, is_allowed, "{origin}: {}", answer.status());
        assert_eq!(answer.header("access-control-allow-origin"), is_allowed.then_some(origin));
        let call = Request::builder().uri_str("/v1/endpoints").header("origin", origin).finish();
        let answer = api.send_raw(call).await;
        assert_eq!(answer.status(), 401, "it is answered; the browser keeps it from the page");
        assert_eq!(answer.header("access-control-allow-origin"), is_allowed.then_some(origin));
    }
}

#[tokio::test]
async fn long_answers_are_compressed_and_compressed_bodies_are_read() {
    let api = Fixture::new().await;
    let get = || Request::builder().uri_str("/openapi.json");
    let plain = api.send_raw(get().finish()).await;
    assert_eq!(plain.header("content-encoding"), None);
    let plain = plain.into_body().into_bytes().await.unwrap();
    let packed = api.send_raw(get().header("accept-encoding", "gzip, br").finish()).await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), (Some("gzip"), Some("Accept-Encoding")));
    let packed = packed.into_body().into_bytes().await.unwrap();
    assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());

    // `{"name":"Acme"}`, by gzip.
    let body = hex("1f8b0800000000000203ab56ca4bcc4d55b252724c0652b5008755f53c0f000000");
    let request = Request::builder()
        .method(Method::POST)
        .uri_str("/v1/tenants")
        .header("authorization", format!("Bearer {}", api.operator_key))
        .header("content-encoding", "gzip")
        .content_type("application/json")
        .body(body);
    let made = api.send(request).await;
    assert_eq!((made.status, &made.body["name"]), (201, &json!("Acme")), "{}", made.text);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_changes_nothing() {
    let api = Fixture::with_request_timeout(Duration::from_millis(500)).await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/tenants/{}", acme.id);
    let mut locked = api.pool.begin().await.unwrap();
    tenants::get_for_update(&mut locked, &TenantId::from_trusted(acme.id.as_str())).await.unwrap();
    let rename = || api.call(Method::PATCH, &path, &api.operator_key, None, Some(r#"{"name": "Late"}"#));
    let answer = rename().await;
    answer.assert_problem(503, None);
    assert!(answer.body["detail"].as_str().unwrap().contains("took too long"), "{}", answer.text);
    locked.rollback().await.unwrap();
    let read = api.call(Method::GET, &path, &api.operator_key, None, None).await;
    assert_eq!(read.body["name"], "Acme", "{}", read.text);
    assert_eq!(rename().await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_long_once_unpacked_or_can_not_be_unpacked_is_refused() {
    let api = Fixture::new().await;
    let max = ApiConfig::default().max_body_bytes;
    let zeros = Response::builder().content_type("text/plain").body(vec![b' '; max + 1]);
    let bomb = gzip::compressed(zeros).await.into_body().into_bytes().await.unwrap();
    assert!(bomb.len() * 100 < max, "{} bytes", bomb.len());
    for (body, key, status) in [
        (bomb.clone(), None, 413),
        (bomb.clone(), Some("bomb-1"), 413),
        (bomb.slice(..bomb.len() / 2), None, 400),
        (Bytes::from_static(b"{\"name\":\"Acme\"}"), Some("plain-1"), 400),
    ] {
        let request = Request::builder()
            .method(Method::POST)
            .uri_str("/v1/tenants")
            .header("authorization", format!("Bearer {}", api.operator_key))
            .header("content-encoding", "gzip")
            .content_type("application/json");
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        api.send(request.body(body)).await.assert_problem(status, None);
    }
}

#[tokio::test]
async fn what_is_nested_too_deep_is_refused() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await.id();
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(50_000), close.repeat(50_000));
    for (field, value) in [
        ("filter", nested(r#"{"not":"#, "}")),
        ("mapping", nested(r#"{"body":"#, "}")),
        ("event_types", nested("[", "]")),
    ] {
        let body = format!(r#"{{"endpoint_id":"{endpoint}","{field}":{value}}}"#);
        let refused = acme.post_text("/v1/subscriptions", &body).await;
        assert!([400, 422].contains(&refused.status), "{field}: {} {}", refused.status, refused.text);
    }
}

#[tokio::test]
async fn a_callers_request_id_comes_back_also_in_a_problem() {
    let api = Fixture::new().await;
    let request = Request::builder().uri_str("/v1/tenants").header("x-request-id", "trace-7").finish();
    let answer = api.send_raw(request).await;
    assert_eq!(answer.header("x-request-id"), Some("trace-7"));
    let text = answer.into_body().into_string().await.unwrap();
    assert!(text.contains("\"request_id\":\"trace-7\""), "{text}");
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
