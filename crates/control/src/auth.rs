//! API keys: what they look like, what they may do, and who a request comes from.
//!
//! A key is `pr_<prefix>_<secret>`: 12 public characters by which it is looked up, and 256 random bits. Only a
//! keyed hash of the whole is stored.

pub mod access;
pub mod http_keys;
pub mod jwk;
pub mod lockout;
pub mod origin;
pub mod rate;
pub mod token;
pub mod usage;

use std::{fmt, net::IpAddr, str::FromStr};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use postrider_domain::{
    KeyId, TenantId, Timestamp,
    seal::{KeyRing, KeyedHash, Zeroizing},
};
use postrider_postgres::api_keys::ApiKeyRow;
use rand::CryptoRng;

use crate::audit::Actor;

/// What a key's hash is of: sets it apart from other hashes of the key ring.
const HASH_PURPOSE: &str = "api-key";
const PREFIX_CHARACTERS: usize = 12;
const PREFIX_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The longest text that is looked at.
const MAX_KEY_CHARACTERS: usize = 128;

/// A key's text.
pub struct KeyText {
    text: Zeroizing<String>,
    prefix: String,
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText(pr_{}_…)", self.prefix)
    }
}

impl KeyText {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut random = Zeroizing::new([0_u8; PREFIX_CHARACTERS + 32]);
        rng.fill_bytes(&mut *random);
        let (public, secret) = random.split_at(PREFIX_CHARACTERS);
        let prefix: String = public.iter().map(|byte| char::from(PREFIX_ALPHABET[usize::from(byte % 32)])).collect();
        let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(secret));
        Self { text: Zeroizing::new(format!("pr_{prefix}_{}", *secret)), prefix }
    }

    /// Takes a text that may be a key's.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_KEY_CHARACTERS {
            return None;
        }
        let (prefix, secret) = text.strip_prefix("pr_")?.split_once('_')?;
        let valid = prefix.len() == PREFIX_CHARACTERS
            && prefix.bytes().all(|byte| PREFIX_ALPHABET.contains(&byte))
            && BASE64_URL_SAFE_NO_PAD.decode(secret).is_ok_and(|secret| secret.len() == 32);
        valid.then(|| Self { text: Zeroizing::new(text.to_owned()), prefix: prefix.to_owned() })
    }

    /// The public part, by which the key is looked up.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What is stored of it.
    pub fn hash(&self, key_ring: &KeyRing) -> Vec<u8> {
        key_ring.keyed_hash(HASH_PURPOSE, self.text.as_bytes()).to_bytes()
    }

    /// Whether it is the key whose hash was stored, in constant time.
    pub fn verify(&self, key_ring: &KeyRing, stored: &[u8]) -> bool {
        KeyedHash::from_bytes(stored)
            .is_some_and(|hash| key_ring.verify_keyed_hash(HASH_PURPOSE, self.text.as_bytes(), &hash))
    }

    /// The whole text, to be shown once.
    pub fn into_text(self) -> Zeroizing<String> {
        self.text
    }
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What a key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Scope {
            $($(#[$doc])* $name),+
        }

        impl Scope {
            /// Every scope, in the order of the document.
            pub const EVERY: &'static [Self] = &[$(Self::$name),+];

            /// As written in a key's list.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

scopes! {
    /// Everything that a key of its kind can do.
    All = "*",
    /// See tenants; operator keys only.
    TenantsRead = "tenants:read",
    /// Make, change and delete tenants; operator keys only.
    TenantsWrite = "tenants:write",
    /// See what a tenant uses of its quotas.
    UsageRead = "usage:read",
    /// See API keys (never their text).
    ApiKeysRead = "api-keys:read",
    /// Make, rotate and revoke API keys.
    ApiKeysWrite = "api-keys:write",
    /// See endpoints, with their URLs.
    EndpointsRead = "endpoints:read",
    /// Make, change and delete endpoints.
    EndpointsWrite = "endpoints:write",
    /// See which signing secrets endpoints have (never their text).
    SecretsRead = "secrets:read",
    /// Rotate and end signing secrets.
    SecretsWrite = "secrets:write",
    /// See the text of signing secrets; each time is in the audit log.
    SecretsReveal = "secrets:reveal",
    /// Send tests to endpoints.
    EndpointsTest = "endpoints:test",
    /// See subscriptions.
    SubscriptionsRead = "subscriptions:read",
    /// Make, change and delete subscriptions.
    SubscriptionsWrite = "subscriptions:write",
    /// See templates.
    TemplatesRead = "templates:read",
    /// Save, replace and delete templates.
    TemplatesWrite = "templates:write",
    /// Publish events.
    EventsPublish = "events:publish",
    /// See events with their payload, and why they were delivered or not.
    EventsRead = "events:read",
    /// See the catalogue of event types, which belongs to the whole deployment.
    EventTypesRead = "event-types:read",
    /// Make, change and delete event types; operator keys only.
    EventTypesWrite = "event-types:write",
    /// See deliveries and their attempts.
    DeliveriesRead = "deliveries:read",
    /// See what deliveries come to.
    AnalyticsRead = "analytics:read",
    /// See dead letters.
    DeadLettersRead = "dead-letters:read",
    /// Deliver dead letters again, or give them up.
    DeadLettersWrite = "dead-letters:write",
    /// See replays.
    ReplaysRead = "replays:read",
    /// Make and direct replays.
    ReplaysWrite = "replays:write",
    /// See security events, and from which addresses keys work.
    SecurityRead = "security:read",
    /// Say from which addresses keys work.
    SecurityWrite = "security:write",
    /// See the audit log.
    AuditRead = "audit:read",
    /// Try deliveries again at once, and cancel them.
    DeliveriesWrite = "deliveries:write",
}

impl Scope {
    /// Whether only operators' keys can have it: it is about what belongs to no tenant.
    pub fn is_operators(self) -> bool {
        matches!(self, Self::TenantsRead | Self::TenantsWrite | Self::EventTypesWrite)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no scope; there are: {}", Scope::EVERY.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", "))]
pub struct InvalidScope {
    text: String,
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        Self::EVERY
            .iter()
            .find(|scope| scope.as_str() == text)
            .copied()
            .ok_or_else(|| InvalidScope { text: text.chars().take(64).collect() })
    }
}

/// Why a key does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// No such key, or another secret.
    #[error("the API key is not known")]
    Unknown,
    /// It was revoked.
    #[error("the API key was revoked")]
    Revoked,
    /// It is the text from before a rotation whose grace period is over.
    #[error("the API key was rotated, and the time in which its former text works is over")]
    Rotated,
    /// Its time is over.
    #[error("the API key has expired")]
    Expired,
}

/// Whether a key that was looked up by its prefix works now.
pub fn check_key(key: &KeyText, row: &ApiKeyRow, key_ring: &KeyRing, now: Timestamp) -> Result<(), KeyRefused> {
    let previous = row.previous.as_ref().filter(|previous| previous.prefix == key.prefix());
    let hash = previous.map_or(&row.hash, |previous| &previous.hash);
    if !key.verify(key_ring, hash) {
        Err(KeyRefused::Unknown)
    } else if row.revoked_at.is_some() {
        Err(KeyRefused::Revoked)
    } else if row.expires_at.is_some_and(|expiry| expiry <= now) {
        Err(KeyRefused::Expired)
    } else if previous.is_some_and(|previous| previous.expires_at <= now) {
        Err(KeyRefused::Rotated)
    } else {
        Ok(())
    }
}

/// What a caller showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API key.
    ApiKey(KeyId),
    /// A token of the configured issuer, about this subject.
    Token(String),
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(id) => id.fmt(f),
            Self::Token(subject) => write!(f, "jwt:{subject}"),
        }
    }
}

/// Who a request comes from, and for which tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key, or what stands for one.
    pub credential: Credential,
    /// The tenant that the key belongs to; none for an operator key.
    pub key_tenant: Option<TenantId>,
    /// The tenant that the request is about: the key's, or the one that an operator named.
    pub tenant: Option<TenantId>,
    /// How many events that tenant may publish over HTTP in a second; none: as many as it likes.
    pub publish_per_second: Option<i64>,
    /// What the key may do.
    pub scopes: Vec<Scope>,
    /// Where the request came from.
    pub remote_addr: Option<IpAddr>,
}

impl Caller {
    /// Whether the key may do what `scope` covers.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| *held == Scope::All || *held == scope)
    }

    /// Whether the key is an operator's.
    pub fn is_operator(&self) -> bool {
        self.key_tenant.is_none()
    }

    /// The API key, if it is one.
    pub fn key(&self) -> Option<&KeyId> {
        match &self.credential {
            Credential::ApiKey(id) => Some(id),
            Credential::Token(_) => None,
        }
    }

    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        Actor { id: self.credential.to_string(), remote_addr: self.remote_addr }
    }
}

#[cfg(test)]
mod tests {
    use postrider_postgres::api_keys::PreviousText;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn key_ring() -> KeyRing {
        KeyRing::parse(&KeyRing::generate_text(&mut StdRng::seed_from_u64(7))).expect("a generated ring parses")
    }

    fn row(key: &KeyText, ring: &KeyRing) -> ApiKeyRow {
        ApiKeyRow {
            id: KeyId::from_trusted("key_1"),
            tenant: None,
            name: "ops".to_owned(),
            prefix: key.prefix().to_owned(),
            hash: key.hash(ring),
            scopes: vec!["*".to_owned()],
            allowed_cidrs: Vec::new(),
            rate_limit: None,
            rotated_at: None,
            previous: None,
            created_at: Timestamp::EPOCH,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_generated_key_parses_and_works() {
        let ring = key_ring();
        for seed in 0..100 {
            let key = KeyText::generate(&mut StdRng::seed_from_u64(seed));
            let row = row(&key, &ring);
            let parsed = KeyText::parse(&key.into_text()).expect("it parses");
            assert_eq!(parsed.prefix(), row.prefix);
            assert_eq!(check_key(&parsed, &row, &ring, Timestamp::EPOCH), Ok(()));
        }
    }

    #[test]
    fn a_wrong_secret_a_revoked_and_an_expired_key_are_refused() {
        let ring = key_ring();
        let key = KeyText::generate(&mut StdRng::seed_from_u64(1));
        let good = row(&key, &ring);
        let other = KeyText::generate(&mut StdRng::seed_from_u64(2));
        let at = Timestamp::from_millis(5_000);
        assert_eq!(check_key(&other, &good, &ring, at), Err(KeyRefused::Unknown));
        let revoked = ApiKeyRow { revoked_at: Some(Timestamp::EPOCH), ..good.clone() };
        assert_eq!(check_key(&key, &revoked, &ring, at), Err(KeyRefused::Revoked));
        let expired = ApiKeyRow { expires_at: Some(at), ..good.clone() };
        assert_eq!(check_key(&key, &expired, &ring, at), Err(KeyRefused::Expired));
        let damaged = ApiKeyRow { hash: vec![1, 2, 3], ..good };
        assert_eq!(check_key(&key, &damaged, &ring, at), Err(KeyRefused::Unknown));
    }

    #[test]
    fn after_a_rotation_both_texts_work_until_the_grace_period_is_over() {
        let ring = key_ring();
        let (new, old) =
            (KeyText::generate(&mut StdRng::seed_from_u64(1)), KeyText::generate(&mut StdRng::seed_from_u64(2)));
        let until = Timestamp::from_millis(5_000);
        let previous = PreviousText { prefix: old.prefix().to_owned(), hash: old.hash(&ring), expires_at: until };
        let rotated = ApiKeyRow { previous: Some(previous), ..row(&new, &ring) };
        let within = Timestamp::from_millis(4_999);
        assert_eq!([&new, &old].map(|key| check_key(key, &rotated, &ring, within)), [Ok(()), Ok(())]);
        assert_eq!(check_key(&new, &rotated, &ring, until), Ok(()));
        assert_eq!(check_key(&old, &rotated, &ring, until), Err(KeyRefused::Rotated));
        let revoked = ApiKeyRow { revoked_at: Some(Timestamp::EPOCH), ..rotated };
        assert_eq!(check_key(&old, &revoked, &ring, within), Err(KeyRefused::Revoked));
    }

    #[test]
    fn what_is_no_key_does_not_parse() {
        let long = format!("pr_0123456789ab_{}", "a".repeat(4096));
        for bad in
            ["", "pr_", "pr__", "pr_short_AAAA", "pr_0123456789ab_", "sk_0123456789ab_x", "pr_0123456789ab_$$", &long]
        {
            assert!(KeyText::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_star_covers_every_scope_and_others_only_themselves() {
        let mut caller = Caller {
            credential: Credential::ApiKey(KeyId::from_trusted("key_1")),
            key_tenant: None,
            tenant: None,
            publish_per_second: None,
            scopes: vec![Scope::All],
            remote_addr: None,
        };
        assert!(Scope::EVERY.iter().all(|scope| caller.may(*scope)));
        caller.scopes = vec![Scope::EndpointsRead];
        assert!(caller.may(Scope::EndpointsRead));
        assert!(!caller.may(Scope::EndpointsWrite));
        assert!(!caller.may(Scope::All));
    }

    #[test]
    fn scopes_read_back_as_written() {
        for scope in Scope::EVERY {
            assert_eq!(scope.to_string().parse(), Ok(*scope));
        }
        assert!("endpoints".parse::<Scope>().is_err());
    }
}
