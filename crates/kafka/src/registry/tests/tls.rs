//! Over TLS, with an authority of the test's own.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use super::*;

/// Certificates that clients trust, in PEM, and a server that proves with them to be 127.0.0.1.
fn authority() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("postrider-{name}-{}.pem", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_registry_is_asked_over_tls_only_if_its_authority_is_trusted() {
    let (pem, acceptor) = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let answers = [("/schemas/ids/7".to_owned(), (200, json!({"schema": ORDER}).to_string()))];
        let (answers, asked) = (Mutex::new(HashMap::from(answers)), Mutex::default());
        while let Ok((connection, _)) = listener.accept().await {
            if let Ok(connection) = acceptor.accept(connection).await {
                answer_one(connection, &answers, &asked).await;
            }
        }
    });
    let (ours, foreign) = (file("ours", &pem), file("foreign", &authority().0));
    let config = RegistryConfig { url: Some(url), ca_file: Some(ours.clone()), ..RegistryConfig::default() };
    let trusting = SchemaRegistry::new(&config).unwrap();
    assert_eq!(trusting.to_json(&order(7)).await.unwrap().json, r#"{"id":3}"#);

    let distrusting = SchemaRegistry::new(&RegistryConfig { ca_file: Some(foreign.clone()), ..config }).unwrap();
    let Err(AvroError::Unavailable(why)) = distrusting.to_json(&order(7)).await else { panic!("it is trusted") };
    assert!(why.contains("certificate"), "{why}");
    for file in [ours, foreign] {
        std::fs::remove_file(file).unwrap();
    }
}
