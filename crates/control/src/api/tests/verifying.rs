use std::collections::BTreeMap;

use postrider_domain::{
    DeliveryEventBody, DeliveryKind, EndpointId, ErrorClass, MessageId, Timestamp,
    delivery::Header,
    delivery_event::{AfterAttempt, Attempted, DeadLettered, Phases},
    endpoint::SigningStyle,
    signing::{SignedParts, SigningSecret, signed_headers},
};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture};

const BODY: &str = r#"{"type":"order.created"}"#;

/// What an endpoint's receiver gets, signed at `at` with its secret.
fn received(endpoint: &Answer, at: Timestamp) -> BTreeMap<String, String> {
    let secret = SigningSecret::parse(endpoint.body["secret"].as_str().expect("it is shown once")).expect("a secret");
    let parts = SignedParts {
        message_id: &MessageId::from_trusted("msg_abqv5r5azy4rgtfna4j5pzfbr3"),
        endpoint_id: &EndpointId::from_trusted(endpoint.id()),
        now: at,
        body: BODY.as_bytes(),
    };
    let headers = signed_headers(&SigningStyle::Standard, &[secret], parts).expect("it signs");
    headers.into_iter().map(|(name, value)| (name.to_uppercase(), value)).collect()
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

fn failed(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let checks = answer.body["checks"].as_array().expect("checks").iter();
    checks.filter(|check| check["outcome"] == "failed").filter_map(|check| check["check"].as_str()).collect()
}

#[tokio::test]
async fn a_signature_is_verified_check_by_check() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await;
    let now = crate::clock::now();
    let headers = received(&endpoint, now);
    let verify = async |changes: Value| {
        let mut input = json!({ "endpoint_id": endpoint.id(), "headers": headers, "body": BODY });
        for (name, value) in changes.as_object().expect("an object") {
            input[name] = value.clone();
        }
        acme.post("/v1/verify-signature", &input).await
    };
    let good = verify(json!({})).await;
    assert_eq!((failed(&good), &good.body["valid"]), (vec![], &json!(true)), "{}", good.text);
    let tampered = verify(json!({ "body": "{}" })).await;
    assert_eq!((failed(&tampered), &tampered.body["valid"]), (vec!["signature"], &json!(false)));
    assert_eq!(failed(&verify(json!({ "received_at": "2999-01-01T00:00:00Z" })).await), ["timestamp"]);
    assert_eq!(failed(&verify(json!({ "headers": {} })).await), ["format", "id"]);
    let own = endpoint.body["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(failed(&verify(json!({ "secret": own })).await), Vec::<&str>::new());
    let wrong = verify(json!({ "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" })).await;
    assert_eq!(failed(&wrong), ["signature"]);
    assert!(!wrong.text.contains(&own), "secrets are not shown");

    for (changes, field) in [
        (json!({ "body": null }), "/body"),
        (json!({ "body": null, "body_base64": "!" }), "/body_base64"),
        (json!({ "body_base64": "" }), "/body_base64"),
        (json!({ "secret": "whsec_x" }), "/secret"),
        (json!({ "tolerance_seconds": 0 }), "/tolerance_seconds"),
        (json!({ "endpoint_id": null }), "/endpoint_id"),
    ] {
        verify(changes).await.assert_problem(422, Some(field));
    }
    let other = api.tenant("Other").await;
    let input = json!({ "endpoint_id": endpoint.id(), "headers": headers, "body": BODY });
    other.post("/v1/verify-signature", &input).await.assert_problem(404, Some("/endpoint_id"));
}

#[tokio::test]
async fn a_test_is_sent_and_answered_with_what_came_of_it() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}/test", endpoint.id());
    acme.post(&path, &json!({})).await.assert_problem(503, None);

    *api.tests.outcome.lock() = Some(DeliveryEventBody::Attempted(Attempted {
        started_at: Timestamp::from_millis(1_769_860_800_000),
        duration_us: 41_700,
        status: Some(401),
        error: Some(ErrorClass::HttpClientError),
        error_message: Some("the answer was 401".to_owned()),
        response_excerpt: Some("no".to_owned()),
        next: AfterAttempt::DeadLetter,
        next_attempt_at: None,
        request_headers: vec![header("authorization", "***")],
        response_headers: vec![header("content-type", "text/plain")],
        phases: Some(Phases { connect_us: Some(1_500), wait_us: Some(40_000), ..Phases::default() }),
    }));
    let answer = acme.post(&path, &json!({ "event_type": "order.created", "data": { "total": 1 } })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((&answer.body["delivered"], &answer.body["error_class"]), (&json!(false), &json!("http_client_error")));
    assert_eq!((&answer.body["duration_ms"], &answer.body["response"]["status"]), (&json!(41.7), &json!(401)));
    let named = |name: &str, value: &str| json!([{ "name": name, "value": value }]);
    assert_eq!(answer.body["request"]["headers"], named("authorization", "***"));
    assert_eq!(answer.body["response"]["headers"], named("content-type", "text/plain"));
    assert_eq!(
        answer.body["phases"],
        json!({ "dns_ms": null, "connect_ms": 1.5, "tls_ms": null, "wait_ms": 40.0, "total_ms": 41.7 })
    );
    assert_eq!(answer.body["request"]["origin"], "https://public.example.com");
    assert!(!answer.text.contains("s3cret"), "the URL's query is secret");
    let sent = api.tests.sent.lock().last().cloned().expect("it was sent");
    assert_eq!((sent.kind, sent.endpoint.as_str()), (DeliveryKind::Test, endpoint.id().as_str()));
    assert_eq!(sent.subscription.as_str(), endpoint.body["subscriptions"][0]["id"]);
    assert_eq!(answer.body["request"]["body"], String::from_utf8_lossy(&sent.body).as_ref());

    let dead = DeadLettered { error: ErrorClass::EndpointUnknown, error_message: None };
    *api.tests.outcome.lock() = Some(DeliveryEventBody::DeadLettered(dead));
    let unknown = acme.post(&path, &json!({})).await;
    assert_eq!((&unknown.body["error_class"], &unknown.body["response"]), (&json!("endpoint_unknown"), &Value::Null));
}

#[tokio::test]
async fn a_test_takes_the_sample_and_the_mapping_of_its_type() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let endpoint = acme.endpoint().await;
    let path = format!("/v1/endpoints/{}/test", endpoint.id());
    let dead = DeadLettered { error: ErrorClass::EndpointUnknown, error_message: None };
    *api.tests.outcome.lock() = Some(DeliveryEventBody::DeadLettered(dead));
    let of_type = json!({ "event_type": "order.created" });
    acme.post(&path, &of_type).await.assert_problem(422, Some("/data"));
    let catalogued = json!({ "name": "order.created", "description": "", "sample": { "total": 7 } }).to_string();
    let made = api.call(poem::http::Method::POST, "/v1/event-types", &api.operator_key, None, Some(&catalogued)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let mapping = json!({ "body": { "sum": "$.data.total" } });
    let input = json!({ "endpoint_id": endpoint.id(), "event_types": ["other"], "mapping": mapping });
    let subscription = acme.post("/v1/subscriptions", &input).await;
    assert_eq!(subscription.status, 201, "{}", subscription.text);

    let plain = acme.post(&path, &of_type).await;
    assert!(
        plain.body["request"]["body"].as_str().is_some_and(|body| body.contains(r#""data":{"total":7}"#)),
        "{}",
        plain.text
    );
    let mapped = json!({ "event_type": "order.created", "subscription_id": subscription.id() });
    assert_eq!(acme.post(&path, &mapped).await.body["request"]["body"], r#"{"sum":7}"#);
    let unmapped = json!({ "event_type": "x", "data": {}, "subscription_id": subscription.id() });
    let unmapped = acme.post(&path, &unmapped).await;
    assert_eq!((&unmapped.body["error_class"], &unmapped.body["request"]), (&json!("mapping_failed"), &Value::Null));

    let foreign = json!({ "subscription_id": "sub_00000000000000000000000000" });
    acme.post(&path, &foreign).await.assert_problem(404, Some("/subscription_id"));
    acme.post(&path, &json!({ "event_type": "a b" })).await.assert_problem(422, Some("/event_type"));
    let other = api.tenant("Other").await;
    other.post(&path, &json!({})).await.assert_problem(404, None);
}
