//! An egress proxy: a tunnel to an address that we have vetted ourselves.

use std::{fmt, net::SocketAddr, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use postrider_domain::egress::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The most that a proxy may answer to CONNECT, in bytes.
const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// Where all requests go through. Its password is hidden by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy's host: a name or an address.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// The value of `proxy-authorization`.
    authorization: Option<String>,
}

/// Why a text is not a proxy. Never shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a proxy: write 'http://host:port' or 'http://user:password@host:port', without a path")]
pub struct InvalidProxy;

impl FromStr for Proxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let url = Url::parse(text).map_err(|_| InvalidProxy)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !bare {
            return Err(InvalidProxy);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidProxy)?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().ok_or(InvalidProxy)?,
            authorization: authorization(&url)?,
        })
    }
}

fn authorization(url: &Url) -> Result<Option<String>, InvalidProxy> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decode = |text: &str| -> Result<String, InvalidProxy> {
        percent_encoding::percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| InvalidProxy)
    };
    let credentials = format!("{}:{}", decode(url.username())?, decode(url.password().unwrap_or_default())?);
    Ok(Some(format!("Basic {}", STANDARD.encode(credentials))))
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

impl Proxy {
    /// Makes `stream`, a connection to the proxy, one to `target`. Error: why not, in words.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, target: SocketAddr) -> Result<(), String> {
        let authorization =
            self.authorization.as_ref().map(|it| format!("proxy-authorization: {it}\r\n")).unwrap_or_default();
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = Vec::with_capacity(256);
        loop {
            if answer.len() >= MAX_ANSWER_BYTES {
                return Err("its answer to CONNECT is too long".to_owned());
            }
            let read = stream.read_buf(&mut answer).await.map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("it closed the connection instead of answering CONNECT".to_owned());
            }
            // Behind a tunnel's answer nothing may come before we speak.
            if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                return if end + 4 == answer.len() {
                    opened(&answer)
                } else {
                    Err("it sent more than an answer".to_owned())
                };
            }
        }
    }
}

fn opened(answer: &[u8]) -> Result<(), String> {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (version, status) {
        ("HTTP/1.1" | "HTTP/1.0", "200") => Ok(()),
        ("HTTP/1.1" | "HTTP/1.0", "407") => Err("it wants other credentials (407): check egress.proxy".to_owned()),
        ("HTTP/1.1" | "HTTP/1.0", _) => {
            Err(format!("it refused to connect ({})", status.chars().take(3).collect::<String>()))
        }
        _ => Err("it does not speak HTTP/1.1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_host_a_port_and_perhaps_credentials() {
        let plain: Proxy = "http://proxy.internal:3128".parse().unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.authorization), ("proxy.internal", 3128, None));
        let known: Proxy = "http://user:p%40ss@[::1]:3128/".parse().unwrap();
        assert_eq!((known.host.as_str(), known.authorization.as_deref()), ("::1", Some("Basic dXNlcjpwQHNz")));
        assert!(!format!("{known:?}").contains("dXNl"));
        assert_eq!("http://proxy".parse::<Proxy>().unwrap().port, 80);
    }

    #[test]
    fn what_is_not_a_proxy_is_refused() {
        for text in ["", "proxy:3128", "https://proxy:3128", "socks5://proxy:1", "http://proxy/path", "http://proxy/?a"]
        {
            assert_eq!(text.parse::<Proxy>(), Err(InvalidProxy), "{text}");
        }
    }

    #[test]
    fn only_a_200_opens_the_tunnel() {
        assert_eq!(opened(b"HTTP/1.1 200 Connection established\r\n\r\n"), Ok(()));
        assert_eq!(opened(b"HTTP/1.0 200\r\n\r\n"), Ok(()));
        for refused in [&b"HTTP/1.1 407 No\r\n\r\n"[..], b"HTTP/1.1 503 No\r\n\r\n", b"SSH-2.0\r\n\r\n", b"\r\n\r\n"] {
            assert!(opened(refused).is_err());
        }
    }
}
