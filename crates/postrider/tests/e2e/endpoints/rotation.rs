//! Secrets change while deliveries go on: whoever knows one that is valid can verify all.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use postrider_domain::signing::{SECRET_PREFIX, SigningSecret, verify};
use postrider_testkit::Received;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, LIMIT, Stream, Tenant, Test, event, tests};

pub fn tests() -> Vec<Test> {
    tests![
        a_secret_rotates_under_load_and_receivers_change_in_their_own_time,
        an_ed25519_key_is_verified_with_what_is_published,
        a_secret_without_grace_signs_no_more,
    ]
}

const PER_SECOND: u32 = 500;
const ROTATIONS: usize = 3;
/// What was signed before a rotation was seen has arrived by then.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// Verified later: the whole test is younger.
const TOLERANCE: Duration = Duration::from_mins(10);

/// Rotates an endpoint's secret, and answers the new one once every process signs with it.
async fn rotate(deployment: &Deployment, tenant: &Tenant, endpoint: &str, input: &Value) -> Value {
    let (status, body) = tenant.api.post(&format!("/v1/endpoints/{endpoint}/secrets/rotate"), input).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{body}");
    deployment.synced().await;
    body
}

/// Whether a receiver that knows one secret only takes the request for genuine.
fn verifies(secret: &str, request: &Received) -> bool {
    let secret = SigningSecret::parse(secret).unwrap();
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| request.header(name));
    verify(&[secret], id, timestamp, signature, &request.body, request.at, TOLERANCE).is_ok()
}

async fn a_secret_rotates_under_load_and_receivers_change_in_their_own_time(context: Context) {
    let deployment = Deployment::start(&context, "rotation").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    // Its receiver verifies with the first secret, and goes on to.
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    deployment.synced().await;
    let stream = Stream::start(&deployment, &tenant, PER_SECOND);
    let mut known = Vec::new();
    for _ in 0..ROTATIONS {
        stream.reached(stream.written() + 2 * PER_SECOND as usize, LIMIT).await;
        let rotated = rotate(&deployment, &tenant, &hook.id, &json!({"grace_seconds": 3600})).await;
        let synced_at = hook.wait_for(hook.count() + 1).await.last().unwrap().at;
        known.push((synced_at + ON_THE_WAY, rotated["secret"].as_str().unwrap().to_owned()));
    }
    stream.reached(stream.written() + 4 * PER_SECOND as usize, LIMIT).await;
    let ledger = stream.compare(&receiver, "/hook").await;

    let received = hook.received();
    assert_eq!(receiver.bad_signatures("/hook"), 0, "the first secret verifies all of them");
    for (number, (since, secret)) in known.iter().enumerate() {
        let after: Vec<&Received> = received.iter().filter(|request| request.at >= *since).collect();
        assert!(after.len() >= PER_SECOND as usize, "only {} requests after rotation {number}", after.len());
        let bad = after.iter().filter(|request| !verifies(secret, request)).count();
        assert_eq!(bad, 0, "of {} requests after rotation {number}, to one who knows the new secret only", after.len());
    }
    let last = received.last().unwrap().header("webhook-signature");
    assert_eq!(last.split(' ').count(), 1 + ROTATIONS, "{last}");
    println!("rotation: {} deliveries, {} repeated", ledger.written, ledger.duplicates());
}

async fn an_ed25519_key_is_verified_with_what_is_published(context: Context) {
    let deployment = Deployment::start(&context, "ed25519").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    rotate(&deployment, &tenant, &hook.id, &json!({"kind": "ed25519"})).await;
    let path = format!("/public-keys/{}/{}", tenant.id, hook.id);
    // Without a key.
    let answer = deployment.client("").request(reqwest::Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let keys: Value = answer.json().await.unwrap();
    let public = keys["keys"][0]["public_key"].as_str().unwrap();

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!({"total": 1}))).await;
    let received = hook.wait_for(1).await.remove(0);
    let signature = received.header("webhook-signature").split(' ').find_map(|text| text.strip_prefix("v1a,"));
    let content = format!("{}.{}.", received.webhook_id(), received.header("webhook-timestamp"));
    let content = [content.as_bytes(), &received.body].concat();
    assert!(verified_by(public, &content, signature.unwrap()), "{signature:?} by {public}");
    assert!(!verified_by(public, b"another", signature.unwrap()));
}

/// Whether the signature is the public key's.
fn verified_by(public: &str, content: &[u8], signature: &str) -> bool {
    let bytes = |text: &str| BASE64_STANDARD.decode(text).unwrap();
    let key = bytes(public.strip_prefix("whpk_").unwrap());
    let key = VerifyingKey::from_bytes(key.as_slice().try_into().unwrap()).unwrap();
    key.verify_strict(content, &Signature::from_slice(&bytes(signature)).unwrap()).is_ok()
}

async fn a_secret_without_grace_signs_no_more(context: Context) {
    let deployment = Deployment::start(&context, "no-grace").await;
    let (tenant, receiver) = (deployment.tenant().await, deployment.receiver().await);
    let hook = Hook::create(&tenant, &receiver, "/hook", json!({})).await;
    let leaked = hook.secret.clone();
    let rotated = rotate(&deployment, &tenant, &hook.id, &json!({"grace_seconds": 0})).await;
    let fresh = rotated["secret"].as_str().unwrap();
    assert!(fresh.starts_with(SECRET_PREFIX) && fresh != leaked);
    receiver.verify("/hook", fresh).unwrap();

    deployment.write(&event(&deployment, &tenant, "1", "order.created", &json!({"total": 1}))).await;
    let received = hook.wait_for(1).await.remove(0);
    assert!(!verifies(&leaked, &received) && verifies(fresh, &received));
    let (_, listed) = tenant.api.get(&format!("/v1/endpoints/{}/secrets", hook.id)).await.unwrap();
    assert_eq!(listed["data"][1]["status"], "expired", "{listed}");
}
