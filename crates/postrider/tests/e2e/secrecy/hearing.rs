//! Who asks the API, and what it answers: kept, to be searched.

use postrider_testkit::ApiClient;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::forms::Secret;

/// An answer.
pub struct Heard {
    /// To what.
    pub what: String,
    /// Status, headers and body. Of what is shown once, that is taken out.
    pub text: String,
    /// Whether who asked may change endpoints.
    pub may_have_urls: bool,
}

/// Asks, and keeps what is answered.
pub struct Ear {
    /// Who asks.
    pub api: ApiClient,
    /// Whether they may change endpoints.
    pub is_writer: bool,
}

/// All that was answered, and what was shown that is secret.
#[derive(Default)]
pub struct Hearing {
    /// Every answer.
    pub heard: Vec<Heard>,
    /// Every secret.
    pub secrets: Vec<Secret>,
}

impl Hearing {
    /// Asks, whatever comes of it.
    pub async fn ask(&mut self, ear: &Ear, method: Method, path: &str, body: Option<&str>) -> (StatusCode, Value) {
        self.ask_keyed(ear, method, path, body, None).await
    }

    /// The same, with an idempotency key.
    pub async fn ask_keyed(
        &mut self,
        ear: &Ear,
        method: Method,
        path: &str,
        body: Option<&str>,
        key: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut request = ear.api.request(method.clone(), path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), format!("{:?}", answer.headers()));
        let body = answer.text().await.unwrap();
        let json = serde_json::from_str(&body).unwrap_or(Value::Null);
        let text = format!("{status} {headers} {body}");
        // The path can have a secret in the place of an id.
        let what = format!("{method} {}", path.chars().take(40).collect::<String>());
        self.heard.push(Heard { what, text, may_have_urls: ear.is_writer });
        (status, json)
    }

    /// Makes something by POST. What is shown of it once, in this field, is a secret from now on; so is what is
    /// encoded in it if it is a signing secret.
    pub async fn make(&mut self, ear: &Ear, path: &str, body: &Value, field: &str, key: Option<&str>) -> Value {
        let (status, made) = self.ask_keyed(ear, Method::POST, path, Some(&body.to_string()), key).await;
        assert!(status.is_success(), "{path}: {made}");
        let Some(shown) = made[field].as_str() else { return made };
        let answer = &mut self.heard.last_mut().unwrap().text;
        assert_eq!(answer.matches(shown).count(), 1, "{path} shows its {field} once");
        *answer = answer.replace(shown, "");
        let name = format!("the {field} of {path}");
        if shown.starts_with("whsec_") {
            self.secrets.extend(Secret::signing(&name, shown));
        } else {
            self.secrets.push(Secret::new(&name, shown));
        }
        made
    }
}
