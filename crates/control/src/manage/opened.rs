//! What is sealed of an endpoint, opened: for requests that are made to it from here.

use postrider_domain::{
    EntityId,
    endpoint::purpose,
    seal::{KeyRing, Sealed, Zeroizing},
    signing::SigningSecret,
};
use postrider_postgres::{endpoints::EndpointRow, secrets::SecretRow};

use super::ManageError;

/// What a request to an endpoint is made of. Never to be logged or shown.
pub struct OpenedEndpoint {
    /// Its URL in full.
    pub url: Zeroizing<String>,
    /// The headers that its owner has sent along, names in lower case.
    pub headers: Vec<(String, String)>,
    /// A client certificate chain and its private key (PEM).
    pub client_identity: Option<Zeroizing<Vec<u8>>>,
    /// The keys to sign with, newest first.
    pub secrets: Vec<SigningSecret>,
}

/// Opens an endpoint.
pub fn open(key_ring: &KeyRing, row: &EndpointRow, secrets: &[SecretRow]) -> Result<OpenedEndpoint, ManageError> {
    let failed = |reason: String| ManageError::Sealed { entity: row.id.to_string(), reason };
    let entity = EntityId::from(&row.id);
    let bytes = |sealed: &Sealed, purpose| {
        key_ring.open(sealed, &row.tenant, &entity, purpose).map_err(|error| failed(error.to_string()))
    };
    let text = |sealed: &Sealed, purpose| {
        let bytes = bytes(sealed, purpose)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| failed(error.to_string()))?;
        Ok::<_, ManageError>(Zeroizing::new(text.to_owned()))
    };
    let secret = |row: &SecretRow| {
        let text = text(&row.secret.sealed, purpose::SECRET)?;
        SigningSecret::parse(&text).map_err(|error| failed(error.to_string()))
    };
    let mut headers = Vec::with_capacity(row.settings.headers.len());
    for header in &row.settings.headers {
        headers.push((header.name.to_ascii_lowercase(), text(&header.value, purpose::HEADER)?.to_string()));
    }
    let identity = row.settings.client_identity.as_ref();
    let identity = identity.map(|sealed| bytes(sealed, purpose::CLIENT_IDENTITY)).transpose()?;
    Ok(OpenedEndpoint {
        url: text(&row.url, purpose::URL)?,
        headers,
        client_identity: identity.map(|bytes| Zeroizing::new(bytes.to_vec())),
        secrets: secrets.iter().map(secret).collect::<Result<_, ManageError>>()?,
    })
}
