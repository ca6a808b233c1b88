//! What is sent, and what comes of it.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use postrider_domain::{ErrorClass, Method, Outcome, TenantId, delivery::Header, delivery_event::Phases, egress::Url};

use super::{
    EndpointTls,
    client::{ANYTHING, PRODUCT},
};

/// One signed request.
#[derive(Clone)]
pub struct Request {
    /// Whose it is: connections are shared within a tenant only.
    pub tenant: TenantId,
    /// `POST`, unless a mapping says otherwise.
    pub method: Method,
    /// Where to.
    pub url: Arc<Url>,
    /// Certificates of the endpoint's own, if it has any.
    pub tls: Option<Arc<EndpointTls>>,
    /// `content-type`.
    pub content_type: String,
    /// All other headers, names in lower case.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Bytes,
    /// From the start of the request to the end of the answer.
    pub deadline: Duration,
}

/// Shows the host, and no header's value: both URL and headers may be secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_ref()).collect();
        f.debug_struct("Request")
            .field("tenant", &self.tenant)
            .field("host", &self.url.host_str())
            .field("headers", &names)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// The headers that are sent with it besides its own and `content-type`.
    pub fn standing_headers(&self) -> Vec<Header> {
        let header = |name: &str, value: String| Header { name: name.to_owned(), value };
        let host = self.url.host_str().unwrap_or_default();
        let host = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers = vec![
            header("host", host),
            header("user-agent", PRODUCT.to_owned()),
            header("content-length", self.body.len().to_string()),
        ];
        if self.headers.iter().all(|(name, _)| name != "accept") {
            headers.push(header("accept", ANYTHING.to_owned()));
        }
        headers
    }
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The outcome.
    pub outcome: Outcome,
    /// The failure in words; none if there was an answer.
    pub error_message: Option<String>,
    /// The answer's headers, as far as they are kept.
    pub headers: Vec<Header>,
    /// The first bytes of the answer's body.
    pub excerpt: Option<String>,
    /// How long its parts took.
    pub phases: Phases,
    /// How many streams the peer takes at a time, on a connection that all of a tenant's endpoints there share. None
    /// over HTTP/1.1, where it sets no limit, and if there was no answer.
    pub max_streams: Option<u32>,
}

impl Answer {
    /// A failure without an answer.
    pub fn failed(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed(class),
            error_message: Some(message.into()),
            headers: Vec::new(),
            excerpt: None,
            phases: Phases::default(),
            max_streams: None,
        }
    }
}
