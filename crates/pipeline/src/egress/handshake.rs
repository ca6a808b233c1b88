//! Requests that are no deliveries: an endpoint is asked whether it wants any.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Uri,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};
use postrider_domain::{TenantId, egress::Url};
use tokio::time::Instant;

use super::{
    EgressClient, EndpointTls,
    classify::classify,
    client::{MAX_EXCERPT_WAIT, PRODUCT, excerpt},
};

/// A question.
pub struct Handshake {
    /// Whose endpoint it is: connections are shared within a tenant only.
    pub tenant: TenantId,
    /// Where to.
    pub url: Url,
    /// Certificates of the endpoint's own, if it has any.
    pub tls: Option<Arc<EndpointTls>>,
    /// JSON that is posted; an `OPTIONS` request without a body if there is none.
    pub json: Option<Bytes>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// From the start of the request to the end of the answer.
    pub deadline: Duration,
}

/// Shows the host, and no header's value: both URL and headers may be secret.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct HandshakeAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case; a value that is no text is left out.
    pub headers: Vec<(String, String)>,
    /// The beginning of its body.
    pub body: String,
}

impl EgressClient {
    /// Asks, by the road that deliveries take: only where they may go. The error is in words.
    pub async fn shake_hands(&self, handshake: Handshake) -> Result<HandshakeAnswer, String> {
        let (begun, allowed) = (Instant::now(), handshake.deadline);
        let (tenant, tls) = (handshake.tenant.clone(), handshake.tls.clone());
        let client = self.client_for(&tenant, tls.as_deref(), begun);
        let sent = self.send(&client, message(handshake)?, tls.as_deref());
        match tokio::time::timeout_at(begun + allowed, sent).await {
            Err(_) => Err(format!("no answer within {} ms", allowed.as_millis())),
            Ok(Err(error)) => Err(classify(&error).1),
            Ok(Ok(response)) => {
                let status = response.status().as_u16();
                let text = |value: &HeaderValue| value.to_str().ok().map(ToOwned::to_owned);
                let headers = response.headers().iter();
                let headers = headers.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect();
                let until = (begun + allowed).min(Instant::now() + MAX_EXCERPT_WAIT);
                let body = excerpt(response.into_body(), until).await.unwrap_or_default();
                Ok(HandshakeAnswer { status, headers, body })
            }
        }
    }
}

fn message(handshake: Handshake) -> Result<hyper::Request<Full<Bytes>>, String> {
    let uri: Uri = handshake.url.as_str().parse().map_err(|_| "the URL can't be sent in a request".to_owned())?;
    let (method, has_body) = if handshake.json.is_some() { (Method::POST, true) } else { (Method::OPTIONS, false) };
    let mut message = hyper::Request::new(Full::new(handshake.json.unwrap_or_default()));
    *message.method_mut() = method;
    *message.uri_mut() = uri;
    let headers = message.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in handshake.headers {
        let refused = || format!("the header '{name}' can't be sent: its name or value is not one");
        let value = HeaderValue::try_from(value).map_err(|_| refused())?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?, value);
    }
    Ok(message)
}
