use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt as _;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::json;

use super::*;

/// An issuer that signs by ES256.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    id: String,
}

impl Issuer {
    pub fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { key, id: id.to_owned() }
    }

    pub fn jwks(&self) -> String {
        let point = self.key.public_key().as_ref();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y }] }).to_string()
    }

    pub fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": self.id })), encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Answers what it is given, and counts.
#[derive(Clone, Default)]
pub(crate) struct FakeSource {
    pub answer: Arc<parking_lot::Mutex<Option<String>>>,
    pub asked: Arc<AtomicU32>,
}

impl KeySource for FakeSource {
    fn fetch(&self) -> BoxFuture<'_, Result<String, String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer.lock().clone();
        async move { answer.ok_or_else(|| "it does not answer".to_owned()) }.boxed()
    }
}

pub(crate) fn config() -> TokenConfig {
    TokenConfig {
        issuer: "https://issuer.example".to_owned(),
        audience: "postrider".to_owned(),
        tenant_claim: "tenant".to_owned(),
        scope_claim: "scope".to_owned(),
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_770_000_000_000);

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": ["other", "postrider"], "sub": "ann", "exp": 1_770_000_300,
        "tenant": "ten_01jd2x9vq3m7k8n5p4r6s0t1w2", "scope": "endpoints:read openid events:publish",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn claims_are_held_against_the_configuration() {
    let token = check(&config(), &claims(), NOW).unwrap();
    assert_eq!(token.subject, "ann");
    assert_eq!(token.tenant.as_ref().map(TenantId::as_str), Some("ten_01jd2x9vq3m7k8n5p4r6s0t1w2"));
    assert_eq!(token.scopes, [Scope::EndpointsRead, Scope::EventsPublish]);
    assert_eq!(check(&config(), &with("tenant", json!("*")), NOW).unwrap().tenant, None);
    assert_eq!(check(&config(), &with("scope", json!(["*"])), NOW).unwrap().scopes, [Scope::All]);
    assert_eq!(check(&config(), &with("aud", json!("postrider")), NOW).map(drop), Ok(()));
    // Clocks differ.
    assert_eq!(check(&config(), &with("exp", json!(1_769_999_941.5)), NOW).map(drop), Ok(()));
    assert_eq!(check(&config(), &with("nbf", json!(1_770_000_059)), NOW).map(drop), Ok(()));
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("aud", json!("elsewhere")),
        ("aud", Value::Null),
        ("exp", json!("1770000300")),
        ("nbf", json!(1_770_000_061)),
        ("sub", json!("")),
        ("sub", json!("a\nb")),
        ("tenant", json!("acme")),
        ("tenant", Value::Null),
        ("scope", json!(17)),
    ] {
        assert_eq!(
            check(&config(), &with(name, value.clone()), NOW),
            Err(TokenRefused::Claim(name.to_owned())),
            "{value}"
        );
    }
    assert_eq!(check(&config(), &with("exp", json!(1_769_999_940)), NOW), Err(TokenRefused::Expired));
}

#[tokio::test]
async fn a_token_works_until_the_issuer_uses_other_keys() {
    let (issuer, next) = (Issuer::new("one"), Issuer::new("two"));
    let source = FakeSource::default();
    let tokens = Tokens::new(config(), source.clone());
    let asked = || source.asked.load(Ordering::Relaxed);
    let token = issuer.sign(&claims());
    assert_eq!(tokens.verify(&token, NOW).await, Err(TokenRefused::NoKeys));

    *source.answer.lock() = Some(issuer.jwks());
    assert_eq!(tokens.verify(&token, NOW).await, Err(TokenRefused::NoKeys), "not asked again at once");
    let now = NOW + MIN_FETCH_INTERVAL;
    assert_eq!(tokens.verify(&token, now).await.map(|token| token.subject), Ok("ann".to_owned()));
    let forged = issuer.sign(&with("sub", json!("eve")));
    let forged = format!("{}.{}", forged.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
    assert_eq!(tokens.verify(&forged, now).await, Err(TokenRefused::Unknown));
    assert_eq!(asked(), 2, "keys that are known are not asked for");

    // Keys that are not known are asked for, now and then.
    let other = next.sign(&claims());
    for _ in 0..10 {
        assert_eq!(tokens.verify(&other, now).await, Err(TokenRefused::Unknown));
    }
    assert_eq!(asked(), 2);
    *source.answer.lock() = Some(next.jwks());
    let later = now + MIN_FETCH_INTERVAL;
    assert_eq!(tokens.verify(&other, later).await.map(drop), Ok(()));
    assert_eq!(tokens.verify(&token, later).await, Err(TokenRefused::Unknown));

    // The issuer is away: what is known goes on.
    *source.answer.lock() = None;
    let later = later + KEYS_LIVE;
    let lasting = next.sign(&with("exp", json!(1_870_000_000)));
    assert_eq!(tokens.verify(&lasting, later).await.map(drop), Ok(()));
}

#[tokio::test]
async fn what_is_no_token_is_refused_without_asking() {
    let source = FakeSource::default();
    let tokens = Tokens::new(config(), source.clone());
    for text in ["", "a.b.c", "e30.e30.", "..", "eyJhbGciOiJub25lIiwiY3JpdCI6W119.e30."] {
        assert_eq!(tokens.verify(text, NOW).await, Err(TokenRefused::Unknown), "{text}");
    }
    assert_eq!(source.asked.load(Ordering::Relaxed), 0);
    assert!(Tokens::is_token("a.b.c") && !Tokens::is_token("pr_x") && !Tokens::is_token(&"a.b.c".repeat(5_000)));
}
