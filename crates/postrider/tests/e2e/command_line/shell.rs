//! A shell with the address of an API and a key of a tenant in its environment.

use serde_json::Value;

use crate::support::{Deployment, Finished, Tenant, postrider};

/// Who runs commands.
pub struct Shell {
    /// Where the API is.
    pub url: String,
    /// Whose key is used.
    pub key: String,
}

impl Shell {
    /// A tenant's.
    pub fn of(deployment: &mut Deployment, tenant: &Tenant) -> Self {
        Self { url: deployment.service().process.api_url(), key: tenant.key.clone() }
    }

    /// Runs a command.
    pub async fn run(&self, line: &[&str]) -> Finished {
        let environment = [("POSTRIDER_URL", self.url.as_str()), ("POSTRIDER_API_KEY", self.key.as_str())];
        postrider(line, None, &environment).await
    }

    /// Runs a command that must succeed.
    pub async fn text(&self, line: &[&str]) -> String {
        let finished = self.run(line).await;
        assert_eq!(finished.code, 0, "{line:?}: {finished:?}");
        finished.stdout
    }

    /// The same with `--json`.
    pub async fn json(&self, line: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[line, &["--json"]].concat()).await).unwrap()
    }
}
