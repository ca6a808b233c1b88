//! An issuer of tokens (JWT), with its keys at a URL.

use axum::{Router, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use rand::Rng as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Signs by `EdDSA`. Stops when dropped.
pub struct Issuer {
    key: SigningKey,
    jwks_url: String,
    _server: AbortOnDropHandle<std::io::Result<()>>,
}

impl Issuer {
    /// Starts it.
    pub async fn start() -> Self {
        let mut seed = [0; 32];
        postrider_control::clock::rng().fill_bytes(&mut seed);
        let key = SigningKey::from_bytes(&seed);
        let public = BASE64_URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": public}]}).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jwks_url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let router = Router::new().route("/jwks.json", get(move || std::future::ready(keys)));
        let server = AbortOnDropHandle::new(tokio::spawn(axum::serve(listener, router).into_future()));
        Self { key, jwks_url, _server: server }
    }

    /// The configuration of a deployment that takes its tokens.
    pub fn configuration(&self) -> String {
        let url = &self.jwks_url;
        format!("[jwt]\nissuer = \"https://issuer.example\"\naudience = \"postrider\"\njwks_url = \"{url}\"\n")
    }

    /// A token for a tenant with these scopes.
    pub fn sign(&self, tenant: &str, scope: &str) -> String {
        let expires = postrider_control::clock::now().as_seconds() + 300;
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": "https://issuer.example", "aud": "postrider", "sub": "ann", "exp": expires,
            "postrider_tenant": tenant, "scope": scope,
        });
        let signed = format!("{}.{}", encode(&json!({"alg": "EdDSA", "kid": "one"})), encode(&claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}
