//! Receivers verify real deliveries, and refuse what was tampered with.

use std::time::Duration;

use postrider_domain::Timestamp;
use postrider_testkit::Received;
use reqwest::{
    Client, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{rust, toolchain::Program};
use crate::support::{Context, Deployment, LIMIT, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        receivers_in_javascript_verify_a_real_delivery_and_refuse_a_tampered_one,
        receivers_in_python_verify_a_real_delivery_and_refuse_a_tampered_one,
        receivers_in_go_verify_a_real_delivery_and_refuse_a_tampered_one,
        receivers_in_java_verify_a_real_delivery_and_refuse_a_tampered_one,
        receivers_in_rust_verify_a_real_delivery_and_refuse_a_tampered_one
    ]
}

/// A header of a user's choice, for the plain style.
const HMAC_HEADER: &str = "x-shop-hmac";

/// An ed25519 key of a user's own: test vector 1 of RFC 8032.
const PRIVATE_KEY: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

/// A delivery as it arrived, with what its endpoint's user is told.
struct Delivered {
    signature: &'static str,
    timestamp: Option<&'static str>,
    secret: String,
    received: Received,
    snippets: Vec<Value>,
}

/// One delivery in each signing style.
async fn delivered(context: &Context, name: &str) -> Vec<Delivered> {
    let deployment = Deployment::start(context, name).await;
    let tenant = deployment.tenant().await;
    let receiver = deployment.receiver().await;
    let styles = [
        ("/standard", json!("standard"), "webhook-signature", Some("webhook-timestamp")),
        ("/ed25519", json!("standard"), "webhook-signature", Some("webhook-timestamp")),
        ("/x-webhook", json!("x_webhook"), "x-webhook-signature", Some("x-webhook-timestamp")),
        ("/hex", json!({"hmac": {"header": HMAC_HEADER, "encoding": "hex"}}), HMAC_HEADER, None),
        ("/base64", json!({"hmac": {"header": HMAC_HEADER, "encoding": "base64"}}), HMAC_HEADER, None),
    ];
    let mut endpoints = Vec::new();
    for (path, signing, ..) in &styles {
        let url = receiver.url(path);
        let mut request = json!({"name": path, "url": url, "event_types": ["*"], "signing": signing});
        if *path == "/ed25519" {
            request["secret"] = json!(PRIVATE_KEY);
        }
        endpoints.push(tenant.create_endpoint(&request).await);
    }
    deployment.synced().await;
    let data = json!({"id": 1042, "note": "zażółć \u{2603}"});
    deployment.write(&event(&deployment, &tenant, "1", "order.created", &data)).await;
    let mut delivered = Vec::new();
    for ((path, _, signature, timestamp), endpoint) in styles.into_iter().zip(endpoints) {
        let received = receiver.wait_for(path, 1, LIMIT).await.remove(0);
        let id = endpoint["id"].as_str().unwrap();
        let (status, list) = tenant.api.get(&format!("/v1/endpoints/{id}/snippets?purpose=receive")).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{list}");
        let secret = endpoint["secret"].as_str().or(endpoint["public_key"].as_str()).unwrap().to_owned();
        let snippets = list["data"].as_array().unwrap().clone();
        delivered.push(Delivered { signature, timestamp, secret, received, snippets });
    }
    delivered
}

/// Runs every snippet of these languages that is said to be executed, in every style.
async fn verify(context: Context, languages: &[&str], frameworks: usize) {
    for delivery in delivered(&context, &languages[0].to_lowercase()).await {
        let snippets = delivery.snippets.iter();
        let executed =
            snippets.filter(|it| it["executed"] == true && languages.iter().any(|name| it["language"] == *name));
        let mut count = 0;
        for snippet in executed {
            let listening = Program::of(snippet).await.listen(&delivery.secret).await;
            let name = format!("{} by {}", snippet["id"].as_str().unwrap(), delivery.signature);
            hold_to_it(&delivery, &listening.url, &name).await;
            count += 1;
        }
        assert_eq!(count, frameworks, "by {}", delivery.signature);
    }
}

/// Posts the delivery to a receiver as it was, and tampered with.
async fn hold_to_it(delivery: &Delivered, url: &str, name: &str) {
    let post = async |headers: &HeaderMap, body: &[u8]| {
        let mut headers = headers.clone();
        headers.remove("host");
        headers.remove("content-length");
        let sent = Client::new().post(url).headers(headers).body(body.to_vec()).timeout(LIMIT).send().await;
        sent.unwrap_or_else(|error| panic!("{name}: {error}")).status()
    };
    let (headers, body) = (&delivery.received.headers, delivery.received.body.as_ref());
    assert_eq!(post(headers, body).await, StatusCode::NO_CONTENT, "{name} does not verify a real delivery");

    let refused = async |headers: &HeaderMap, body: &[u8], what: &str| {
        assert_eq!(post(headers, body).await, StatusCode::UNAUTHORIZED, "{name} takes {what}");
    };
    let changed = String::from_utf8(body.to_vec()).unwrap().replace("1042", "1043");
    refused(headers, changed.as_bytes(), "another body").await;
    let with = |header: &'static str, value: &str| {
        let mut headers = headers.clone();
        headers.insert(HeaderName::from_static(header), HeaderValue::from_str(value).unwrap());
        headers
    };
    let signature = delivery.received.header(delivery.signature);
    let flipped: String = signature.chars().map(|it| if it.is_ascii_digit() { '7' } else { it }).rev().collect();
    refused(&with(delivery.signature, &flipped), body, "another signature").await;
    refused(&with(delivery.signature, "nonsense"), body, "nonsense").await;
    let mut unsigned = headers.clone();
    unsigned.remove(delivery.signature);
    refused(&unsigned, body, "no signature").await;
    if let Some(timestamp) = delivery.timestamp {
        for shift in [1, 3_600] {
            let earlier = earlier(delivery.received.header(timestamp), Duration::from_secs(shift));
            refused(&with(timestamp, &earlier), body, "another time").await;
        }
        refused(&with(timestamp, "yesterday"), body, "no time").await;
    }
}

/// A timestamp of either form, earlier.
fn earlier(timestamp: &str, by: Duration) -> String {
    if let Ok(seconds) = timestamp.parse::<u64>() {
        return (seconds - by.as_secs()).to_string();
    }
    let at = Timestamp::parse_rfc3339(timestamp).unwrap();
    Timestamp::from_millis(at.as_millis() - i64::try_from(by.as_millis()).unwrap()).to_rfc3339()
}

async fn receivers_in_javascript_verify_a_real_delivery_and_refuse_a_tampered_one(context: Context) {
    verify(context, &["JavaScript", "TypeScript"], 4).await;
}

async fn receivers_in_python_verify_a_real_delivery_and_refuse_a_tampered_one(context: Context) {
    verify(context, &["Python"], 3).await;
}

async fn receivers_in_go_verify_a_real_delivery_and_refuse_a_tampered_one(context: Context) {
    verify(context, &["Go"], 1).await;
}

async fn receivers_in_java_verify_a_real_delivery_and_refuse_a_tampered_one(context: Context) {
    verify(context, &["Java"], 1).await;
}

async fn receivers_in_rust_verify_a_real_delivery_and_refuse_a_tampered_one(context: Context) {
    let delivered = delivered(&context, "rust").await;
    let apps =
        [rust::standard::app, rust::ed25519::app, rust::x_webhook::app, rust::hmac_hex::app, rust::hmac_base64::app];
    for (delivery, app) in delivered.iter().zip(apps) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks", listener.local_addr().unwrap());
        let server = tokio::spawn(axum::serve(listener, app(delivery.secret.clone())).into_future());
        hold_to_it(delivery, &url, "axum").await;
        server.abort();
    }
}
