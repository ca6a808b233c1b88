//! A client of the management API that takes and gives plain JSON, so that tests see what a user sees.

use anyhow::Context as _;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// A base URL and a key.
#[derive(Debug, Clone)]
pub struct ApiClient {
    client: reqwest::Client,
    base: String,
    key: String,
}

/// An answer: its status, and its body (`null` if it was empty or not JSON).
pub type Answer = (StatusCode, Value);

impl ApiClient {
    /// A client of the API at `base` that sends `key` with each request.
    pub fn new(base: &str, key: &str) -> Self {
        Self { client: crate::http_client(), base: base.trim_end_matches('/').to_owned(), key: key.to_owned() }
    }

    /// The same API with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// GET `path`, which begins with a slash and may have a query.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// POST `body` to `path`.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PUT `body` to `path`.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// PATCH `path` with `body`.
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// DELETE `path`.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::DELETE, path, None).await
    }

    /// A request to be completed by the caller: other headers, a body that is not JSON.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let failed = format!("{method} {}{path}", self.base);
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.with_context(|| failed.clone())?;
        let status = answer.status();
        let body = answer.bytes().await.context(failed)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Behaviour, Receiver};

    #[tokio::test]
    async fn it_sends_the_key_and_json_and_gives_the_status() {
        let receiver = Receiver::start().unwrap();
        receiver.behave("/v1/things", Behaviour::Always(409));
        let api = ApiClient::new(&receiver.url("/"), "first").with_key("second");
        let (status, body) = api.post("/v1/things", &json!({"name": "a"})).await.unwrap();
        assert_eq!((status.as_u16(), body), (409, Value::Null));
        let request = &receiver.received("/v1/things")[0];
        assert_eq!(request.header("authorization"), "Bearer second");
        assert_eq!(&request.body[..], br#"{"name":"a"}"#);
    }
}
