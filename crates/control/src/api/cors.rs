//! Cross-origin requests: which web pages may call the API (the Fetch standard's CORS protocol).
//!
//! Callers authenticate by a header, never by a cookie, so credentials in the browser's sense are not allowed.

use poem::{
    Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, content-encoding, idempotency-key, if-match, if-none-match, postrider-tenant, \
     x-request-id",
);
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "etag, idempotency-replayed, location, ratelimit, ratelimit-limit, ratelimit-policy, ratelimit-remaining, \
     ratelimit-reset, retry-after, x-request-id",
);
/// How long a browser remembers a preflight's answer, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// What of a request decides.
pub(super) struct CrossOrigin {
    /// The origin to be allowed, as its header is to say.
    allowed: Option<HeaderValue>,
    is_preflight: bool,
}

impl CrossOrigin {
    /// Looks at a request; `origins` may have `*`, which allows all.
    pub fn of(method: &Method, headers: &HeaderMap, origins: &[String]) -> Self {
        let origin = headers.get(header::ORIGIN);
        let allowed = origin.filter(|origin| {
            origins.iter().any(|allowed| allowed == "*" || origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
        });
        let is_preflight = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        Self { allowed: allowed.cloned(), is_preflight }
    }

    /// The answer to a preflight from an allowed origin, which no operation ever sees.
    pub fn preflight(&self) -> Option<Response> {
        (self.is_preflight && self.allowed.is_some()).then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS)
                .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)
                .finish()
        })
    }

    /// Lets the page read the answer, if it may.
    pub fn allow(self, answer: &mut HeaderMap) {
        if let Some(origin) = self.allowed {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
            answer.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// Whether `text` is an origin as browsers send it, or `*`.
pub fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
    };
    text == "*" || authority.is_some_and(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, origin: &'static str, origins: &[&str]) -> CrossOrigin {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
        CrossOrigin::of(method, &headers, &origins)
    }

    #[test]
    fn only_pages_of_configured_origins_may_call() {
        for (origins, is_allowed) in [
            (vec![], false),
            (vec!["https://other.example"], false),
            (vec!["https://other.example", "https://app.example"], true),
            (vec!["*"], true),
        ] {
            let cross = of(&Method::OPTIONS, "https://app.example", &origins);
            assert_eq!(cross.preflight().is_some(), is_allowed, "{origins:?}");
            let mut answer = HeaderMap::new();
            cross.allow(&mut answer);
            let allowed = answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(allowed.map(HeaderValue::as_bytes), is_allowed.then_some(b"https://app.example".as_slice()));
        }
    }

    #[test]
    fn only_options_is_a_preflight() {
        assert!(of(&Method::POST, "https://app.example", &["*"]).preflight().is_none());
    }

    #[test]
    fn origins_are_told_from_urls() {
        for good in ["*", "https://app.example", "http://localhost:3000", "http://[::1]:3000"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in ["", "app.example", "https://", "https://app.example/", "ftp://app.example", "https://a b"] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
