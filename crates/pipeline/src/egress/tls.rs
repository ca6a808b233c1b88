//! Whom we trust, and who we are, on a TLS connection.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use sha2::{Digest, Sha256};

/// Certificates of an endpoint's own: a client certificate, authorities that are trusted instead of the
/// deployment's, or both.
pub struct EndpointTls {
    fingerprint: Fingerprint,
    identity: Option<Arc<CertifiedKey>>,
    roots: Option<Arc<RootCertStore>>,
}

/// Tells one endpoint's certificates from another's: connections made with different ones are never shared.
pub(super) type Fingerprint = [u8; 32];

/// Why an endpoint's certificates can't be used. Never shows the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTls {
    /// The chain or the key is missing or is not PEM.
    #[error("the client certificate can't be read ({0}): give the certificate chain and its private key as PEM")]
    Identity(String),
    /// The key does not fit.
    #[error("the private key of the client certificate can't be used with it ({0})")]
    Key(String),
    /// The authorities are not PEM, or none are there.
    #[error("the certificate authorities can't be read ({0}): give at least one certificate as PEM")]
    Authorities(String),
}

impl EndpointTls {
    /// From PEM. None if there is neither.
    pub fn parse(identity: Option<&[u8]>, authorities: Option<&[u8]>) -> Result<Option<Self>, InvalidTls> {
        if identity.is_none() && authorities.is_none() {
            return Ok(None);
        }
        let mut digest = Sha256::new();
        for part in [identity, authorities] {
            let part = part.unwrap_or_default();
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Ok(Some(Self {
            fingerprint: digest.finalize().into(),
            identity: identity.map(parse_identity).transpose()?,
            roots: authorities.map(parse_authorities).transpose()?,
        }))
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl fmt::Debug for EndpointTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointTls")
            .field("identity", &self.identity.is_some())
            .field("roots", &self.roots.is_some())
            .finish_non_exhaustive()
    }
}

fn parse_identity(pem: &[u8]) -> Result<Arc<CertifiedKey>, InvalidTls> {
    let unreadable = |error: rustls::pki_types::pem::Error| InvalidTls::Identity(error.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(InvalidTls::Identity("no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(unreadable)?;
    let certified =
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| InvalidTls::Key(error.to_string()))?;
    Ok(Arc::new(certified))
}

fn parse_authorities(pem: &[u8]) -> Result<Arc<RootCertStore>, InvalidTls> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| InvalidTls::Authorities(error.to_string()))?;
        roots.add(certificate).map_err(|error| InvalidTls::Authorities(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(InvalidTls::Authorities("no certificate in it".to_owned()));
    }
    Ok(Arc::new(roots))
}

/// The deployment's trust, shared by every connection without certificates of its own.
#[derive(Debug, Clone)]
pub(super) struct DeploymentTls {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

impl DeploymentTls {
    /// The system's authorities, and those of the file.
    pub(super) fn load(ca_file: Option<&Path>) -> Result<Self, String> {
        let roots = Arc::new(deployment_roots(ca_file)?);
        let config = Arc::new(config(roots.clone(), None));
        Ok(Self { roots, config })
    }

    /// The configuration of a connection.
    pub(super) fn config(&self, own: Option<&EndpointTls>) -> Arc<ClientConfig> {
        let Some(own) = own else { return self.config.clone() };
        let roots = own.roots.as_ref().unwrap_or(&self.roots).clone();
        Arc::new(config(roots, own.identity.clone()))
    }
}

fn config(roots: Arc<RootCertStore>, identity: Option<Arc<CertifiedKey>>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for the default versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn deployment_roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "some of the system's certificate authorities can't be read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let unreadable = |error: &dyn fmt::Display| format!("egress.ca_file '{}': {error}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    }
    Ok(roots)
}
