//! An issuer's keys over HTTP.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};

use super::token::KeySource;

/// How long the issuer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest key set.
const MAX_BYTES: usize = 1 << 20;

/// A JWKS document at a URL that the operator configured.
#[derive(Debug)]
pub struct HttpKeys {
    url: String,
    http: reqwest::Client,
}

impl HttpKeys {
    /// The document at `url`. Error: TLS can't be set up, in words.
    pub fn new(url: String) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // whoever came first chose the same
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| error.to_string())?;
        Ok(Self { url, http })
    }

    async fn get(&self) -> Result<String, String> {
        let failed = |error: reqwest::Error| error.without_url().to_string();
        let answer = self.http.get(&self.url).send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        let mut chunks = answer.bytes_stream();
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            body.extend(chunk.map_err(failed)?);
            if body.len() > MAX_BYTES {
                return Err(format!("the key set is over {MAX_BYTES} bytes"));
            }
        }
        String::from_utf8(body).map_err(|_| "the key set is not UTF-8".to_owned())
    }
}

impl KeySource for HttpKeys {
    fn fetch(&self) -> BoxFuture<'_, Result<String, String>> {
        self.get().boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request so.
    async fn server(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0_u8; 4096]).await.unwrap();
            let _ = stream.write_all(answer.as_bytes()).await; // the client may have had enough
        });
        url
    }

    #[tokio::test]
    async fn a_key_set_is_fetched_and_what_is_none_is_told() {
        let answer = |status: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        };
        let good = HttpKeys::new(server(answer("200 OK", r#"{"keys":[]}"#)).await).unwrap();
        assert_eq!(good.fetch().await.as_deref(), Ok(r#"{"keys":[]}"#));
        let missing = HttpKeys::new(server(answer("404 Not Found", "")).await).unwrap();
        assert!(missing.fetch().await.unwrap_err().contains("404"));
        let endless = HttpKeys::new(server(answer("200 OK", &"x".repeat(MAX_BYTES + 1))).await).unwrap();
        assert!(endless.fetch().await.unwrap_err().contains("over 1048576 bytes"));
        let nobody = HttpKeys::new("http://127.0.0.1:1/".to_owned()).unwrap();
        assert!(nobody.fetch().await.is_err());
    }
}
