//! Bearer tokens of another issuer (RFC 7519): the second way in.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::future::BoxFuture;
use parking_lot::RwLock;
use postrider_domain::{TenantId, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Scope, jwk::KeySet};

/// The longest token that is looked at.
const MAX_TOKEN_CHARACTERS: usize = 8_192;
/// The longest subject.
const MAX_SUBJECT_CHARACTERS: usize = 200;
/// How far the issuer's clock may be off.
const LEEWAY: Duration = Duration::from_mins(1);
/// How old the issuer's keys may be.
const KEYS_LIVE: Duration = Duration::from_mins(10);
/// How often they are asked for at most: a token can name a key that never was.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// What stands in the tenant's claim of an operator's token.
const OPERATOR: &str = "*";

/// Whose tokens are taken, and what they say where.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or contain.
    pub audience: String,
    /// The claim with the tenant's id; `*` in it is an operator.
    pub tenant_claim: String,
    /// The claim with the scopes: a list, or a text with spaces between them.
    pub scope_claim: String,
}

/// Gets the issuer's keys; the error is in words.
pub trait KeySource: Send + Sync {
    /// The JWKS document.
    fn fetch(&self) -> BoxFuture<'_, Result<String, String>>;
}

/// What a token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whom it is about.
    pub subject: String,
    /// The tenant; none for an operator.
    pub tenant: Option<TenantId>,
    /// What it may do. What is no scope of ours is left out.
    pub scopes: Vec<Scope>,
}

/// Why a token does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It is no token, or its signature is not the issuer's.
    #[error("the token is not one of the configured issuer")]
    Unknown,
    /// What it says does not fit.
    #[error("the token's claim '{0}' is missing or not as it must be")]
    Claim(String),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// The issuer's keys can't be had.
    #[error("the issuer's keys can't be had for now")]
    NoKeys,
}

/// Checks tokens. Clones share what is known of the issuer's keys.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokens").field(&self.0.config).finish()
    }
}

struct Shared {
    config: TokenConfig,
    source: Box<dyn KeySource>,
    keys: RwLock<Known>,
    fetching: Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: Arc<KeySet>,
    /// When they were got, and when that was last tried.
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Tokens {
    /// Takes the tokens that `config` describes, with the keys from `source`.
    pub fn new(config: TokenConfig, source: impl KeySource + 'static) -> Self {
        let shared = Shared { config, source: Box::new(source), keys: RwLock::default(), fetching: Mutex::default() };
        Self(Arc::new(shared))
    }

    /// Whether a text looks like a token.
    pub fn is_token(text: &str) -> bool {
        text.len() <= MAX_TOKEN_CHARACTERS && text.split('.').count() == 3
    }

    /// Checks a token's signature and claims.
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Token, TokenRefused> {
        let unknown = || TokenRefused::Unknown;
        let (signed, signature) = text.rsplit_once('.').ok_or_else(unknown)?;
        let (header, payload) = signed.split_once('.').ok_or_else(unknown)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefused::Unknown);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenRefused::Unknown)?;
        if header.crit.is_some() {
            return Err(TokenRefused::Unknown); // extensions that must be understood, and are not
        }
        let keys = self.keys_with(header.kid.as_deref(), now).await?;
        if !keys.verifies(header.kid.as_deref(), &header.alg, signed.as_bytes(), &decode(signature)?) {
            return Err(TokenRefused::Unknown);
        }
        let claims: Value = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenRefused::Unknown)?;
        check(&self.0.config, &claims, now)
    }

    /// The issuer's keys: got anew when they are old, or have none of this id.
    async fn keys_with(&self, id: Option<&str>, now: Timestamp) -> Result<Arc<KeySet>, TokenRefused> {
        if let Some(known) = self.known(id, now) {
            return known;
        }
        let _one_at_a_time = self.0.fetching.lock().await;
        if let Some(known) = self.known(id, now) {
            return known;
        }
        self.0.keys.write().tried_at = Some(now);
        let fetched = self.0.source.fetch().await.and_then(|json| KeySet::parse(&json));
        let mut known = self.0.keys.write();
        match fetched {
            Ok(keys) => {
                known.keys = Arc::new(keys);
                known.fetched_at = Some(now);
            }
            // Those that are known are better than none: the issuer may be away for long.
            Err(reason) => tracing::warn!(reason, "the keys of the token issuer can't be had"),
        }
        known.keys()
    }

    /// What is known, if it will do, or if there was no more to be known lately.
    fn known(&self, id: Option<&str>, now: Timestamp) -> Option<Result<Arc<KeySet>, TokenRefused>> {
        let known = self.0.keys.read();
        let within = |at: Option<Timestamp>, limit| at.is_some_and(|at| now.since(at) < limit);
        let will_do = within(known.fetched_at, KEYS_LIVE) && known.keys.has(id);
        (will_do || within(known.tried_at, MIN_FETCH_INTERVAL)).then(|| known.keys())
    }
}

impl Known {
    fn keys(&self) -> Result<Arc<KeySet>, TokenRefused> {
        if self.fetched_at.is_some() { Ok(self.keys.clone()) } else { Err(TokenRefused::NoKeys) }
    }
}

/// Holds the claims of a token that the issuer signed against what is configured.
fn check(config: &TokenConfig, claims: &Value, now: Timestamp) -> Result<Token, TokenRefused> {
    let wrong = |name: &str| TokenRefused::Claim(name.to_owned());
    let text = |name: &str| claims.get(name).and_then(Value::as_str).ok_or_else(|| wrong(name));
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        // A NumericDate may have a fraction.
        Some(value) => value.as_f64().filter(|seconds| seconds.abs() < 1e12).map(Some).ok_or_else(|| wrong(name)),
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of our time have 41 bits")]
    let seconds = |at: Timestamp| at.as_millis() as f64 / 1_000.0;

    if text("iss")? != config.issuer {
        return Err(wrong("iss"));
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == config.audience,
        Some(Value::Array(audiences)) => {
            audiences.iter().any(|audience| audience.as_str() == Some(config.audience.as_str()))
        }
        _ => false,
    };
    if !is_for_us {
        return Err(wrong("aud"));
    }
    if time("exp")?.ok_or_else(|| wrong("exp"))? <= seconds(now - LEEWAY) {
        return Err(TokenRefused::Expired);
    }
    if time("nbf")?.is_some_and(|from| from > seconds(now + LEEWAY)) {
        return Err(wrong("nbf"));
    }
    let subject = text("sub")?;
    if subject.is_empty() || subject.chars().count() > MAX_SUBJECT_CHARACTERS || subject.chars().any(char::is_control) {
        return Err(wrong("sub"));
    }
    let tenant = match text(&config.tenant_claim)? {
        OPERATOR => None,
        tenant => Some(tenant.parse::<TenantId>().map_err(|_| wrong(&config.tenant_claim))?),
    };
    let scopes: Vec<Scope> = match claims.get(&config.scope_claim) {
        Some(Value::String(scopes)) => scopes.split(' ').filter_map(|scope| scope.parse().ok()).collect(),
        Some(Value::Array(scopes)) => {
            scopes.iter().filter_map(Value::as_str).filter_map(|scope| scope.parse().ok()).collect()
        }
        _ => return Err(wrong(&config.scope_claim)),
    };
    Ok(Token { subject: subject.to_owned(), tenant, scopes })
}

#[cfg(test)]
pub(crate) mod tests;
