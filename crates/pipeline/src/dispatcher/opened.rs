//! An endpoint's sealed configuration, opened for sending and kept while its configuration stays the same.

use std::sync::Arc;

use postrider_domain::{
    Endpoint, EntityId, ErrorClass, Timestamp,
    egress::{EgressPolicy, Url},
    endpoint::purpose,
    seal::KeyRing,
    signing::SigningSecret,
};

/// What is needed to send to an endpoint.
#[derive(Debug)]
pub(super) struct Opened {
    pub url: Arc<Url>,
    secrets: Vec<(SigningSecret, Option<Timestamp>)>,
}

/// Why an endpoint can't be sent to as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    pub class: ErrorClass,
    pub message: String,
}

impl Opened {
    /// Opens URL and secrets, and checks the URL again: what is allowed may have changed since it was stored.
    pub(super) fn open(endpoint: &Endpoint, keys: &KeyRing, policy: &EgressPolicy) -> Result<Self, Unusable> {
        let url = open_text(endpoint, keys, &endpoint.url, purpose::URL)?;
        let target = policy
            .check_url(&url)
            .map_err(|refused| Unusable { class: ErrorClass::AddressRefused, message: refused.to_string() })?;
        let secret = |secret: &postrider_domain::endpoint::EndpointSecret| {
            let text = open_text(endpoint, keys, &secret.sealed, purpose::SECRET)?;
            let parsed = SigningSecret::parse(&text).map_err(|error| configuration(error.to_string()))?;
            Ok((parsed, secret.expires_at))
        };
        let secrets = endpoint.secrets.iter().map(secret).collect::<Result<_, Unusable>>()?;
        Ok(Self { url: Arc::new(target.url), secrets })
    }

    /// The secrets that sign at `now`, newest first.
    pub(super) fn signing_secrets(&self, now: Timestamp) -> Vec<SigningSecret> {
        let valid = |expires_at: &Option<Timestamp>| expires_at.is_none_or(|at| now < at);
        self.secrets.iter().filter(|(_, expires_at)| valid(expires_at)).map(|(secret, _)| secret.clone()).collect()
    }
}

fn configuration(message: String) -> Unusable {
    Unusable { class: ErrorClass::Configuration, message }
}

fn open_text(
    endpoint: &Endpoint,
    keys: &KeyRing,
    sealed: &postrider_domain::seal::Sealed,
    purpose: &str,
) -> Result<String, Unusable> {
    let entity = EntityId::from(&endpoint.id);
    let opened = keys.open(sealed, &endpoint.tenant, &entity, purpose);
    let bytes = opened.map_err(|error| configuration(format!("the {purpose} can't be opened: {error}")))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| configuration(format!("the {purpose} is not text")))
}
