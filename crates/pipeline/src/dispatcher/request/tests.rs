use bytes::Bytes;
use postrider_domain::{
    Attempt, DeliveryKind, EndpointId, ErrorClass, EventId, MessageId, Method, Priority, Run, SourceCoordinates,
    SubscriptionId, TenantId,
    delivery::Header,
    egress::EgressPolicy,
    endpoint::{CustomHeader, EndpointSettings, HmacEncoding, SigningStyle, purpose},
    seal::{KeyRing, Sealed, SealedAt},
    signing::SigningSecret,
};
use rand::{SeedableRng, rngs::StdRng};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn keys() -> KeyRing {
    KeyRing::parse(&KeyRing::generate_text(&mut StdRng::seed_from_u64(1))).unwrap()
}

fn sealed(purpose: &str, text: &str) -> Sealed {
    let (tenant, id) = (TenantId::from_trusted("ten_1"), EndpointId::from_trusted("ep_1"));
    let at = SealedAt { tenant: &tenant, entity: &(&id).into(), purpose, version: 1 };
    keys().seal(text.as_bytes(), at, &mut StdRng::seed_from_u64(3))
}

fn endpoint(settings: EndpointSettings) -> Endpoint {
    let secret = |seed, expires_at| postrider_domain::endpoint::EndpointSecret {
        id: postrider_domain::SecretId::from_trusted("sec_1"),
        sealed: sealed(purpose::SECRET, &SigningSecret::generate(&mut StdRng::seed_from_u64(seed)).to_text()),
        expires_at,
    };
    Endpoint {
        id: EndpointId::from_trusted("ep_1"),
        tenant: TenantId::from_trusted("ten_1"),
        url: sealed(purpose::URL, "https://example.com/hook"),
        origin: "https://example.com".to_owned(),
        enabled: true,
        enabled_version: 1,
        timeout_ms: 5_000,
        retry: serde_json::from_str(r#"{"delays_seconds":[30]}"#).unwrap(),
        secrets: vec![
            secret(10, None),
            secret(11, Some(NOW + std::time::Duration::from_secs(1))),
            secret(12, Some(NOW)),
        ],
        settings,
    }
}

fn custom(name: &str, value: &str) -> CustomHeader {
    CustomHeader { name: name.to_owned(), value: sealed(purpose::HEADER, value) }
}

fn delivery() -> Delivery {
    Delivery {
        message_id: MessageId::from_trusted("msg_1"),
        run: Run::LIVE,
        kind: DeliveryKind::Live,
        event_id: EventId::from_trusted("evt_1"),
        tenant: TenantId::from_trusted("ten_1"),
        endpoint: EndpointId::from_trusted("ep_1"),
        subscription: SubscriptionId::from_trusted("sub_1"),
        event_type: "order.created".to_owned(),
        ordering_key: None,
        source: SourceCoordinates { topic: "orders".into(), partition: 0, offset: 0 },
        content_type: "application/json".to_owned(),
        headers: vec![Header { name: "ce-id".to_owned(), value: "7".to_owned() }],
        body: Bytes::from_static(b"{}"),
        method: Method::Post,
        path_suffix: String::new(),
    }
}

fn first() -> Routing {
    Routing {
        attempt: Attempt::FIRST,
        first_attempt_at: None,
        not_before: None,
        matched_at: NOW,
        version: None,
        generation: 0,
        priority: Priority::Normal,
        traceparent: None,
    }
}

fn built(settings: EndpointSettings, routing: &Routing) -> Result<Request, Unusable> {
    let endpoint = endpoint(settings);
    let opened = Opened::open(&endpoint, &keys(), &EgressPolicy::default())?;
    request(&delivery(), routing, &endpoint, &opened, NOW)
}

fn value<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_retry_carries_signatures_of_the_valid_keys_its_number_and_the_headers_of_body_and_owner() {
    let settings = EndpointSettings { headers: vec![custom("X-Team", "blue")], ..EndpointSettings::default() };
    let routing = Routing { attempt: Attempt::FIRST.next(), first_attempt_at: Some(NOW), ..first() };
    let request = built(settings, &routing).unwrap();
    // Of the three keys one has expired.
    assert_eq!(value(&request, "webhook-signature").unwrap().split(' ').count(), 2);
    assert_eq!(value(&request, "webhook-attempt"), Some("2"));
    assert_eq!(value(&request, "webhook-first-attempt-at"), Some("2023-11-14T22:13:20.000Z"));
    assert_eq!((value(&request, "ce-id"), value(&request, "x-team")), (Some("7"), Some("blue")));
    assert_eq!((request.tenant.as_str(), request.tls.is_none()), ("ten_1", true));
    assert!(!format!("{request:?}").contains("blue"));
}

#[test]
fn a_mapping_chooses_the_method_appends_to_the_path_and_adds_headers_that_are_not_taken() {
    let signing = SigningStyle::Hmac { header: "X-Signature".to_owned(), encoding: HmacEncoding::Hex };
    let settings = EndpointSettings { signing, headers: vec![custom("X-Team", "blue")], ..EndpointSettings::default() };
    let endpoint = Endpoint { url: sealed(purpose::URL, "https://example.com/hook/?key=a%2Fb"), ..endpoint(settings) };
    let opened = Opened::open(&endpoint, &keys(), &EgressPolicy::default()).unwrap();
    let header = |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
    let mapped = Delivery {
        method: Method::Put,
        path_suffix: "contacts/ann%40example.com".to_owned(),
        headers: vec![header("x-team", "red"), header("x-signature", "forged"), header("x-order", "7")],
        ..delivery()
    };
    let request = request(&mapped, &first(), &endpoint, &opened, NOW).unwrap();
    assert_eq!(request.url.as_str(), "https://example.com/hook/contacts/ann%40example.com?key=a%2Fb");
    assert_eq!(request.method, Method::Put);
    let values = |name: &str| -> Vec<&str> {
        request.headers.iter().filter(|(it, _)| it == name).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!((values("x-team"), values("x-order")), (vec!["blue"], vec!["7"]));
    assert!(values("x-signature").len() == 1 && values("x-signature") != ["forged"]);
}

#[test]
fn an_endpoint_that_asks_for_a_plain_code_gets_it_in_its_header() {
    let signing = SigningStyle::Hmac { header: "X-Hub-Signature".to_owned(), encoding: HmacEncoding::Hex };
    let request = built(EndpointSettings { signing, ..EndpointSettings::default() }, &first()).unwrap();
    assert_eq!(value(&request, "x-hub-signature").unwrap().len(), 64);
    assert_eq!(value(&request, "webhook-signature"), None);
}

#[test]
fn headers_and_certificates_that_can_not_be_used_are_refused_before_anything_is_sent() {
    let hmac = |header: &str| SigningStyle::Hmac { header: header.to_owned(), encoding: HmacEncoding::Hex };
    let table = [
        EndpointSettings { headers: vec![custom("Webhook-Id", "x")], ..EndpointSettings::default() },
        EndpointSettings { headers: vec![custom("Host", "x")], ..EndpointSettings::default() },
        EndpointSettings { headers: vec![custom("x-a", "b\r\nx-c: d")], ..EndpointSettings::default() },
        EndpointSettings { signing: hmac("content-length"), ..EndpointSettings::default() },
        EndpointSettings { signing: hmac("x-a"), headers: vec![custom("X-A", "b")], ..EndpointSettings::default() },
        EndpointSettings { ca: Some("no PEM".to_owned()), ..EndpointSettings::default() },
        EndpointSettings {
            client_identity: Some(sealed(purpose::CLIENT_IDENTITY, "no PEM")),
            ..EndpointSettings::default()
        },
        EndpointSettings { client_identity: Some(sealed(purpose::HEADER, "other")), ..EndpointSettings::default() },
    ];
    for (index, settings) in table.into_iter().enumerate() {
        let refused = built(settings, &first()).unwrap_err();
        assert_eq!(refused.class, ErrorClass::Configuration, "{index}: {}", refused.message);
    }
}

#[test]
fn a_body_that_is_larger_than_the_endpoint_takes_is_not_sent() {
    let limited =
        |max_payload_bytes| built(EndpointSettings { max_payload_bytes, ..EndpointSettings::default() }, &first());
    assert!(limited(Some(2)).is_ok());
    let refused = limited(Some(1)).unwrap_err();
    assert_eq!(refused.class, ErrorClass::PayloadTooLarge);
    assert!(refused.message.contains("2 bytes") && refused.message.contains("at most 1"), "{}", refused.message);
}
