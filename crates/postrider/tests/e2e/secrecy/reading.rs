//! What can be read after a run: over the API, with a key that may read everything, and at a terminal.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use super::run::Run;
use crate::support::{Running, postrider};

impl Run {
    /// Watches deliveries as they go, until there were some.
    pub fn tail(&self) -> Running {
        let (url, key) = self.reader_at();
        Running::start(&["tail", "--url", &url, "--api-key", &key, "--lines", "3"], "")
    }

    fn reader_at(&self) -> (String, String) {
        let request = self.reader.api.request(Method::GET, "").build().unwrap();
        let key = request.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        (request.url().as_str().trim_end_matches('/').to_owned(), key)
    }

    /// What people see at a terminal.
    pub async fn commands(&mut self) {
        let (url, key) = self.reader_at();
        let environment = [("POSTRIDER_URL", url.as_str()), ("POSTRIDER_API_KEY", key.as_str())];
        let (echo, message) = (self.endpoint("echo").to_owned(), self.ids["/v1/dead-letters/{message_id}"][0].clone());
        for line in [
            vec!["endpoints", "list"],
            vec!["endpoints", "get", &echo],
            vec!["endpoints", "--json", "get", &echo],
            vec!["deliveries", "get", &message],
            vec!["deliveries", "--json", "list"],
            vec!["keys", "tenant", "list"],
        ] {
            let finished = postrider(&line, None, &environment).await;
            assert_eq!(finished.code, 0, "{line:?}: {finished:?}");
            self.heard(&line.join(" "), format!("{}{}", finished.stdout, finished.stderr));
        }
        let config = self.deployment.settings.to_text();
        let finished = postrider(&["keys", "list"], Some(&config), &[]).await;
        self.heard("keys list", format!("{}{}", finished.stdout, finished.stderr));
    }

    /// Everything that can be read.
    pub async fn read(&mut self) {
        let endpoints: Vec<String> = self.endpoints.keys().map(|name| self.endpoint(name).to_owned()).collect();
        self.ids.insert(
            "/public-keys/{tenant_id}/{endpoint_id}",
            vec![format!("{}/{}", self.tenant.id, self.endpoint("pair"))],
        );
        self.ids.insert("/v1/endpoints/{id}", endpoints);
        self.ids.insert("/v1/tenants/{id}", vec![self.tenant.id.clone()]);
        let document = document().await;
        let mut read = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            let Some(description) = methods["get"]["description"].as_str() else { continue };
            let ear = if description.starts_with("Operator keys only") { &self.operator } else { &self.reader };
            for path in filled(path, &self.ids) {
                let (status, answer) = self.hearing.ask(ear, Method::GET, &path, None).await;
                assert!(status == 200, "{path}: {answer}");
                read += 1;
            }
        }
        assert!(read > 100, "only {read} were read");
    }
}

/// A path with each id that could be in it.
fn filled(path: &str, ids: &BTreeMap<&str, Vec<String>>) -> Vec<String> {
    let Some(start) = path.find('{') else {
        let query = match path {
            _ if path.ends_with("/objective") => "?within_seconds=10",
            _ if path.contains("/analytics/") => "",
            _ => "?limit=100",
        };
        return vec![format!("{path}{query}")];
    };
    let known = ids.iter().find(|(place, _)| path.starts_with(**place));
    let (prefix, encode) = (&path[..start], |id: &String| id.replace('/', "%2F"));
    let is_public = path.starts_with("/public-keys");
    known.map_or_else(Vec::new, |(place, ids)| {
        let rest = &path[place.len()..];
        ids.iter().map(|id| format!("{prefix}{}{rest}", if is_public { id.clone() } else { encode(id) })).collect()
    })
}

async fn document() -> Value {
    serde_json::from_str(&postrider(&["openapi"], None, &[]).await.stdout).unwrap()
}

/// Every scope that only reads, of those that a tenant's keys can have.
pub async fn read_scopes() -> Vec<String> {
    let document = document().await;
    let mut scopes = Vec::new();
    for methods in document["paths"].as_object().unwrap().values() {
        let description = methods["get"]["description"].as_str().unwrap_or_default();
        let scope = description.split("cope `").nth(1).and_then(|rest| rest.split('`').next());
        let is_operators = description.starts_with("Operator keys only");
        scopes.extend(scope.filter(|scope| scope.ends_with(":read") && !is_operators).map(str::to_owned));
    }
    scopes.sort();
    scopes.dedup();
    scopes
}
