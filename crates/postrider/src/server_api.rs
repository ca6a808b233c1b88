//! The API of a running server, for commands.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, anyhow};
use postrider_control::clock;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::{cli::Server, failure::Failure};

/// A request takes no longer than this: a test send waits for its endpoint.
const TIMEOUT: Duration = Duration::from_secs(80);
/// How often a request is sent when no answer comes: what changes something has a key, and is executed once.
const TRIES: u32 = 2;
/// The largest page that the API gives.
const MAX_PAGE: usize = 100;

/// A server, and who asks it.
pub struct ServerApi {
    client: Client,
    base: String,
    key: String,
    tenant: Option<String>,
}

impl ServerApi {
    /// The server that the command line names.
    pub fn new(server: &Server) -> Result<Self, Failure> {
        let key = server.api_key.clone().ok_or_else(|| {
            Failure::Usage("an API key is needed: give --api-key, or set POSTRIDER_API_KEY".to_owned())
        })?;
        let client = Client::builder().timeout(TIMEOUT).build().context("can't make an HTTP client")?;
        let base = server.url.trim_end_matches('/').to_owned();
        Ok(Self { client, base, key, tenant: server.tenant.clone() })
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Does something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Changes something.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// The first `limit` entries of a list, of as many pages as it takes, as one page.
    pub async fn list(&self, path: &str, query: &[(&str, Option<String>)], limit: usize) -> Result<Value, Failure> {
        let mut all: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let wanted = (limit - all.len()).clamp(1, MAX_PAGE).to_string();
            let mut query: Vec<(&str, &str)> =
                query.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
            query.push(("limit", &wanted));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let mut page = self.get(&with_query(path, &query)).await?;
            if let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) {
                all.extend(data);
            }
            cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
            if all.len() >= limit || cursor.is_none() {
                return Ok(serde_json::json!({"data": all, "next_cursor": cursor}));
            }
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let once = idempotency_key();
        let mut last = None;
        for _ in 0..TRIES {
            let mut request =
                self.client.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(&self.key);
            if let Some(tenant) = &self.tenant {
                request = request.header("Postrider-Tenant", tenant);
            }
            if method != Method::GET {
                request = request.header("Idempotency-Key", &once);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            match request.send().await {
                Ok(answer) => return read(answer).await,
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(String::new, |error| format!("{:#}", anyhow!(error.without_url())));
        Err(Failure::Unreachable(format!("no answer from {}: {why}; is --url right, and does it run?", self.base)))
    }
}

async fn read(answer: reqwest::Response) -> Result<Value, Failure> {
    let status = answer.status();
    let text = answer.text().await.context("the answer broke off")?;
    if status.is_success() {
        if text.is_empty() {
            return Ok(Value::Null);
        }
        let read = serde_json::from_str(&text);
        return Ok(read.context("the answer is not JSON: is --url that of Postrider's API?")?);
    }
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it did not say why");
    let field = problem["field"].as_str().filter(|field| !field.is_empty());
    let said = match field {
        Some(field) => format!("{status}: {field}: {detail}"),
        None => format!("{status}: {detail}"),
    };
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Err(Failure::Unreachable(said))
    } else {
        Err(Failure::Refused(said))
    }
}

/// A path with a query whose values are escaped.
pub fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "%{byte:02X}");
            }
            out
        })
    };
    let parts: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
}

fn idempotency_key() -> String {
    use rand::Rng as _;
    let mut rng = clock::rng();
    format!("cli-{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_escaped() {
        assert_eq!(with_query("/v1/a", &[]), "/v1/a");
        assert_eq!(with_query("/v1/a", &[("b", "x y&z=é"), ("c", "1")]), "/v1/a?b=x%20y%26z%3D%C3%A9&c=1");
    }
}
