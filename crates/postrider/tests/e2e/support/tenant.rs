//! A tenant and what it does through the API.

use postrider_testkit::{ApiClient, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Deployment, LIMIT};

/// A tenant with a key of its own that may do everything.
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
    /// The API, with that key.
    pub api: ApiClient,
}

impl Tenant {
    /// Makes a tenant and its key.
    pub async fn create(operator: ApiClient) -> Self {
        let (status, tenant) = operator.post("/v1/tenants", &json!({"name": "Acme"})).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{tenant}");
        let id = tenant["id"].as_str().unwrap().to_owned();
        let key = create_key(&operator, Some(&id), &["*"]).await["key"].as_str().unwrap().to_owned();
        Self { api: operator.with_key(&key), id, key }
    }

    /// The same tenant at the API of the deployment's process of now.
    pub fn at(&self, deployment: &Deployment) -> Self {
        Self { id: self.id.clone(), key: self.key.clone(), api: deployment.client(&self.key) }
    }

    /// A further key of this tenant, as the API answers it.
    pub async fn create_key(&self, scopes: &[&str]) -> Value {
        create_key(&self.api, None, scopes).await
    }

    /// Makes an endpoint and answers it.
    pub async fn create_endpoint(&self, endpoint: &Value) -> Value {
        let (status, body) = self.api.post("/v1/endpoints", endpoint).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    /// Changes an endpoint.
    pub async fn patch_endpoint(&self, id: &str, patch: &Value) {
        let (status, body) = self.api.patch(&format!("/v1/endpoints/{id}"), patch).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    /// Pauses an endpoint: what comes for it is held.
    pub async fn pause(&self, id: &str) {
        self.act(id, "pause").await;
    }

    /// Resumes an endpoint: what was held for it is sent.
    pub async fn resume(&self, id: &str) {
        self.act(id, "resume").await;
    }

    async fn act(&self, id: &str, action: &str) {
        let (status, body) = self.api.post(&format!("/v1/endpoints/{id}/{action}"), &json!({})).await.unwrap();
        assert!(status.is_success(), "{action}: {status} {body}");
    }

    /// Publishes an event and answers what the API did.
    pub async fn publish(&self, event: &Value) -> Value {
        let (status, body) = self.api.post("/v1/events", event).await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        body
    }

    /// The live run of a message, once the log has it in this status: `{delivery, attempts}`.
    pub async fn delivery(&self, message_id: &str, status: &str) -> Value {
        let path = format!("/v1/deliveries/{message_id}");
        eventually(LIMIT, &format!("message {message_id} to be {status} in the log"), async || {
            let (_, body) = self.api.get(&path).await.unwrap();
            let run = body["runs"][0].clone();
            (run["delivery"]["status"] == status).then_some(run)
        })
        .await
    }

    /// Every delivery of an endpoint, read page by page, once there are `count`.
    pub async fn deliveries(&self, query: &str, count: usize) -> Vec<Value> {
        eventually(LIMIT, &format!("{count} deliveries of {query} in the log"), async || {
            let all = self.list(&format!("/v1/deliveries?limit=100&{query}")).await;
            (all.len() >= count).then_some(all)
        })
        .await
    }

    /// Every entry of a list, read page by page.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut page = path.to_owned();
        loop {
            let (status, body) = self.api.get(&page).await.unwrap();
            assert_eq!(status, StatusCode::OK, "{body}");
            all.extend(body["data"].as_array().unwrap().iter().cloned());
            let Some(cursor) = body["next_cursor"].as_str() else { return all };
            let joint = if path.contains('?') { '&' } else { '?' };
            page = format!("{path}{joint}cursor={cursor}");
        }
    }
}

async fn create_key(api: &ApiClient, tenant: Option<&str>, scopes: &[&str]) -> Value {
    let mut request = api.request(Method::POST, "/v1/api-keys").json(&json!({"name": "e2e", "scopes": scopes}));
    if let Some(tenant) = tenant {
        request = request.header("Postrider-Tenant", tenant);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body
}
