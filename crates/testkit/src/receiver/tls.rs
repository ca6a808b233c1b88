//! A certificate authority that lives as long as the test run.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// Signs the receivers' certificates.
pub struct TestCa {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for TestCa {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TestCa").finish_non_exhaustive()
    }
}

impl TestCa {
    /// Makes an authority with a key of its own.
    pub fn generate() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Postrider tests");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("make a key for the test authority")?;
        let pem = params.self_signed(&key).context("sign the test authority's certificate")?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate, for clients to trust.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// A certificate by which a client proves to be `name`, and its private key: PEM, both.
    pub fn client_identity(&self, name: &str) -> anyhow::Result<(String, String)> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("make a key for the client")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign the client's certificate")?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// A server that proves to be `localhost`, 127.0.0.1 and `names`, and offers HTTP/2 and HTTP/1.1.
    pub fn server_config(&self, names: &[&str]) -> anyhow::Result<Arc<ServerConfig>> {
        let all: Vec<String> = ["localhost", "127.0.0.1"].iter().chain(names).map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(all).with_context(|| format!("a certificate for {names:?}"))?;
        params.distinguished_name.push(DnType::CommonName, "receiver");
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().context("make a key for the receiver")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign the receiver's certificate")?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
