//! How requests to an endpoint are made, and when.

use postrider_domain::{
    EntityId, Timestamp,
    endpoint::{BodyStyle, EndpointSettings, HmacEncoding, MaintenanceWindow, SigningStyle, purpose},
};
use serde_json::{Value, json};

use super::fixture::Fixture;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----";

#[tokio::test]
async fn an_endpoint_is_made_with_every_setting_and_shows_no_secret() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let made = acme
        .post(
            "/v1/endpoints",
            &json!({
                "name": "hook",
                "url": "https://public.example.com/in",
                "signing": { "hmac": { "header": "X-Hub-Signature-256", "encoding": "base64" } },
                "body": "cloudevents_binary",
                "headers": { "Authorization": "Bearer s3cret", "X-Team": "blue" },
                "client_certificate": { "certificate": CERTIFICATE, "private_key": PRIVATE_KEY },
                "ca": CERTIFICATE,
                "maintenance": [
                    { "from": "2026-01-31T12:00:00Z", "until": "2026-01-31T13:00:00Z", "every_seconds": 86_400 },
                    { "from": "2026-02-01T00:00:00Z", "until": "2026-02-02T00:00:00Z" },
                ],
            }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let shown = acme.get(&format!("/v1/endpoints/{}", made.id())).await;
    for answer in [&made, &shown] {
        assert!(!answer.text.contains("s3cret"), "{}", answer.text);
        assert_eq!(answer.body["signing"]["hmac"], json!({ "header": "X-Hub-Signature-256", "encoding": "base64" }));
        assert_eq!(answer.body["body"], "cloudevents_binary");
        assert_eq!(answer.body["headers"], json!({ "Authorization": "********", "X-Team": "********" }));
        assert_eq!(answer.body["client_certificate_set"], true);
        assert_eq!(answer.body["ca"], CERTIFICATE);
        assert_eq!(answer.body["maintenance"][0]["every_seconds"], 86_400);
        assert_eq!(answer.body["maintenance"][1]["until"], "2026-02-02T00:00:00.000Z");
    }

    let (_, endpoint) = api.published_endpoint().await;
    let open = |sealed, purpose| {
        let entity = EntityId::from(&endpoint.id);
        let opened = api.key_ring.open(sealed, &endpoint.tenant, &entity, purpose).expect("it opens");
        String::from_utf8(opened.to_vec()).expect("text")
    };
    let settings = &endpoint.settings;
    assert_eq!(open(&settings.headers[0].value, purpose::HEADER), "Bearer s3cret");
    let identity = settings.client_identity.as_ref().expect("it was set");
    assert_eq!(open(identity, purpose::CLIENT_IDENTITY), format!("{CERTIFICATE}\n{PRIVATE_KEY}"));
    let at = |text: &str| Timestamp::parse_rfc3339(text).expect("a time");
    let expected = EndpointSettings {
        signing: SigningStyle::Hmac { header: "X-Hub-Signature-256".to_owned(), encoding: HmacEncoding::Base64 },
        body: BodyStyle::CloudeventsBinary,
        headers: settings.headers.clone(),
        client_identity: settings.client_identity.clone(),
        ca: Some(CERTIFICATE.to_owned()),
        maintenance: vec![
            MaintenanceWindow {
                from: at("2026-01-31T12:00:00Z"),
                until: at("2026-01-31T13:00:00Z"),
                every_seconds: Some(86_400),
            },
            MaintenanceWindow {
                from: at("2026-02-01T00:00:00Z"),
                until: at("2026-02-02T00:00:00Z"),
                every_seconds: None,
            },
        ],
        ..EndpointSettings::default()
    };
    assert_eq!(settings, &expected);
}

#[tokio::test]
async fn settings_are_changed_one_by_one_and_taken_back() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    let change = async |input: Value| {
        let answer = acme.patch(&path, &input).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    };
    change(json!({ "signing": "x_webhook", "body": "raw", "ca": CERTIFICATE, "headers": { "X-A": "1", "X-B": "2" } }))
        .await;
    change(json!({ "client_certificate": { "certificate": CERTIFICATE, "private_key": PRIVATE_KEY } })).await;
    let before = api.published_endpoint().await.1.settings;
    let changed = change(json!({ "headers": { "x-a": null, "X-B": "********", "X-C": "3" } })).await;
    assert_eq!(changed["headers"], json!({ "X-B": "********", "X-C": "********" }));
    assert_eq!((&changed["signing"], &changed["body"]), (&json!("x_webhook"), &json!("raw")));
    let after = api.published_endpoint().await.1.settings;
    assert_eq!(after.headers[0], before.headers[1], "what is not changed is not sealed anew");
    assert_eq!(after.client_identity, before.client_identity);

    change(json!({ "signing": "standard", "body": "envelope", "ca": null, "client_certificate": null })).await;
    change(json!({ "headers": { "X-B": null, "X-C": null }, "maintenance": [] })).await;
    assert_eq!(api.published_endpoint().await.1.settings, EndpointSettings::default());
}

#[tokio::test]
async fn a_setting_that_cant_be_accepted_is_named() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    let window =
        |from: &str, until: &str, every: Option<u32>| json!([{ "from": from, "until": until, "every_seconds": every }]);
    let (noon, one) = ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z");
    let many: serde_json::Map<String, Value> = (0..21).map(|number| (format!("X-{number}"), json!("x"))).collect();
    let cases = [
        ("signing", json!("none"), "/signing"),
        ("signing", json!({ "hmac": { "header": "webhook-signature" } }), "/signing/hmac/header"),
        ("signing", json!({ "hmac": { "header": "a b" } }), "/signing/hmac/header"),
        ("signing", json!({ "hmac": { "header": "X-A", "encoding": "octal" } }), "/signing/hmac/encoding"),
        ("signing", json!({ "hmac": { "header": "X-A", "key": "x" } }), "/signing/hmac/key"),
        ("body", json!("xml"), "/body"),
        ("headers", json!({ "Host": "x" }), "/headers/Host"),
        ("headers", json!({ "webhook-id": "x" }), "/headers/webhook-id"),
        ("headers", json!({ "a/b": "x" }), "/headers/a~1b"),
        ("headers", json!({ "X-A": "a\r\nX-B: b" }), "/headers/X-A"),
        ("headers", json!({ "X-A": "x".repeat(4_097) }), "/headers/X-A"),
        ("headers", json!({ "X-A": "1", "x-a": "2" }), "/headers/x-a"),
        ("headers", json!({ "X-A": "********" }), "/headers"),
        ("headers", json!({ "X-A": 7 }), "/headers/X-A"),
        ("headers", Value::Object(many), "/headers"),
        ("client_certificate", json!({ "certificate": "x", "private_key": PRIVATE_KEY }), "/client_certificate"),
        ("client_certificate", json!({ "certificate": CERTIFICATE }), "/client_certificate"),
        ("ca", json!("nonsense"), "/ca"),
        ("ca", json!(format!("{CERTIFICATE}\n{PRIVATE_KEY}")), "/ca"),
        ("ca", json!(format!("{CERTIFICATE}{}", "x".repeat(65_536))), "/ca"),
        ("maintenance", window(one, noon, None), "/maintenance/0/until"),
        ("maintenance", window(noon, noon, None), "/maintenance/0/until"),
        ("maintenance", window(noon, one, Some(3_599)), "/maintenance/0/every_seconds"),
        ("maintenance", window("noon", one, None), "/maintenance/0/from"),
        ("maintenance", json!(vec![window(noon, one, None)[0].clone(); 21]), "/maintenance"),
    ];
    for (name, value, field) in cases {
        let answer = acme.patch(&path, &json!({ name: value })).await;
        assert_eq!(answer.status, 422, "{name} = {value}: {}", answer.text);
        answer.assert_problem(422, Some(field));
        assert!(!answer.text.contains("s3cret"), "{}", answer.text);
    }
    assert_eq!(api.published_endpoint().await.0, 1, "nothing was changed");
    assert_eq!(acme.patch(&path, &json!({ "maintenance": window(noon, one, Some(3_600)) })).await.status, 200);
}

#[tokio::test]
async fn a_signature_takes_no_header_that_is_used() {
    let api = Fixture::new().await;
    let acme = api.tenant("Acme").await;
    let path = format!("/v1/endpoints/{}", acme.endpoint().await.id());
    assert_eq!(acme.patch(&path, &json!({ "headers": { "X-Signature": "x" } })).await.status, 200);
    let signing = json!({ "signing": { "hmac": { "header": "x-signature" } } });
    acme.patch(&path, &signing).await.assert_problem(422, Some("/headers"));
}
