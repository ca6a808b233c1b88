//! The HTTP client of this crate's parts.

/// A client for plain HTTP and TLS; sees to it that the process has a TLS provider, which making one needs.
pub fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default(); // whoever came first chose the same
    reqwest::Client::new()
}
