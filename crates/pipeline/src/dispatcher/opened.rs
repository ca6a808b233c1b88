//! An endpoint's sealed configuration, opened for sending and kept while its configuration stays the same.

use std::{fmt, sync::Arc};

use postrider_domain::{
    Endpoint, EntityId, ErrorClass, Timestamp,
    custom_header::{check_custom_header, check_signature_header},
    egress::{EgressPolicy, Url},
    endpoint::{CustomHeader, EndpointSecret, SigningStyle, purpose},
    masking::Secrets,
    seal::{KeyRing, Sealed},
    signing::SigningSecret,
};

use crate::egress::EndpointTls;

/// What is needed to send to an endpoint.
pub(super) struct Opened {
    pub url: Arc<Url>,
    /// What its owner has sent along: names in lower case.
    pub headers: Vec<(String, String)>,
    /// Certificates of its own.
    pub tls: Option<Arc<EndpointTls>>,
    /// What of it nobody may see who sees what the endpoint answers: an endpoint may answer what it was sent.
    pub secrets_sent: Secrets,
    secrets: Vec<(SigningSecret, Option<Timestamp>)>,
}

/// Why an endpoint can't be sent to as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    pub class: ErrorClass,
    pub message: String,
}

impl Opened {
    /// Opens URL, secrets, headers and client certificate, and checks URL and headers again: what is allowed may
    /// have changed since they were stored.
    pub(super) fn open(endpoint: &Endpoint, keys: &KeyRing, policy: &EgressPolicy) -> Result<Self, Unusable> {
        let url = open_text(endpoint, keys, &endpoint.url, purpose::URL)?;
        let target = policy
            .check_url(&url)
            .map_err(|refused| Unusable { class: ErrorClass::AddressRefused, message: refused.to_string() })?;
        let secret = |secret: &EndpointSecret| {
            let text = open_text(endpoint, keys, &secret.sealed, purpose::SECRET)?;
            let parsed = SigningSecret::parse(&text).map_err(|error| configuration(error.to_string()))?;
            Ok((parsed, secret.expires_at))
        };
        let secrets = endpoint.secrets.iter().map(secret).collect::<Result<_, Unusable>>()?;
        let (headers, tls) = (open_headers(endpoint, keys)?, open_tls(endpoint, keys)?);
        let secrets_sent = Secrets::of_request(&target.url, headers.iter().map(|(_, value)| value.as_str()));
        Ok(Self { url: Arc::new(target.url), headers, tls, secrets_sent, secrets })
    }

    /// The secrets that sign at `now`, newest first.
    pub(super) fn signing_secrets(&self, now: Timestamp) -> Vec<SigningSecret> {
        let valid = |expires_at: &Option<Timestamp>| expires_at.is_none_or(|at| now < at);
        self.secrets.iter().filter(|(_, expires_at)| valid(expires_at)).map(|(secret, _)| secret.clone()).collect()
    }
}

/// The endpoint has to be changed before it can be sent to.
pub(super) fn configuration(message: String) -> Unusable {
    Unusable { class: ErrorClass::Configuration, message }
}

fn open_headers(endpoint: &Endpoint, keys: &KeyRing) -> Result<Vec<(String, String)>, Unusable> {
    let settings = &endpoint.settings;
    let signature = match &settings.signing {
        SigningStyle::Hmac { header, .. } => Some(header.as_str()),
        SigningStyle::Standard | SigningStyle::XWebhook => None,
    };
    if let Some(name) = signature {
        check_signature_header(name).map_err(|refused| configuration(refused.to_string()))?;
    }
    let open = |header: &CustomHeader| {
        let value = open_text(endpoint, keys, &header.value, purpose::HEADER)?;
        check_custom_header(&header.name, &value).map_err(|refused| configuration(refused.to_string()))?;
        if signature.is_some_and(|name| name.eq_ignore_ascii_case(&header.name)) {
            return Err(configuration(format!(
                "the header '{}' holds the signature: remove the other one",
                header.name
            )));
        }
        Ok((header.name.to_ascii_lowercase(), value))
    };
    settings.headers.iter().map(open).collect()
}

fn open_tls(endpoint: &Endpoint, keys: &KeyRing) -> Result<Option<Arc<EndpointTls>>, Unusable> {
    let settings = &endpoint.settings;
    let open = |sealed| open_text(endpoint, keys, sealed, purpose::CLIENT_IDENTITY);
    let identity = settings.client_identity.as_ref().map(open).transpose()?;
    let tls = EndpointTls::parse(identity.as_deref().map(str::as_bytes), settings.ca.as_deref().map(str::as_bytes));
    Ok(tls.map_err(|error| configuration(error.to_string()))?.map(Arc::new))
}

/// Hides what is secret.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("host", &self.url.host_str()).field("tls", &self.tls).finish_non_exhaustive()
    }
}

fn open_text(endpoint: &Endpoint, keys: &KeyRing, sealed: &Sealed, purpose: &str) -> Result<String, Unusable> {
    let entity = EntityId::from(&endpoint.id);
    let opened = keys.open(sealed, &endpoint.tenant, &entity, purpose);
    let bytes = opened.map_err(|error| configuration(format!("the {purpose} can't be opened: {error}")))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| configuration(format!("the {purpose} is not text")))
}
