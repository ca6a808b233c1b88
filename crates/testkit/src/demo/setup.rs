//! Creates the endpoints, in view.

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::scenario::{PARTS, Part, RETRY_DELAYS_SECONDS};
use crate::{ApiClient, Receiver};

/// An endpoint that was created.
#[derive(Debug, Clone)]
pub struct Created {
    /// What it is there for.
    pub part: Part,
    /// Its id.
    pub id: String,
}

/// Creates every endpoint of the demonstration, and tells its receiver how to behave and what to verify.
pub async fn create_endpoints(api: &ApiClient, receiver: &Receiver) -> anyhow::Result<Vec<Created>> {
    let mut created = Vec::new();
    for part in PARTS {
        let request = json!({
            "name": part.name,
            "url": receiver.url(&part.path()),
            "retry": { "delays_seconds": RETRY_DELAYS_SECONDS },
            "subscriptions": [part.subscription()],
        });
        let (status, body) = api.post("/v1/endpoints", &request).await?;
        ensure!(status.as_u16() == 201, "POST /v1/endpoints for '{}' answered {status}: {body}", part.name);
        let id = body["id"].as_str().context("the created endpoint has no id")?.to_owned();
        let secret = body["secret"].as_str().context("the created endpoint has no secret")?;
        receiver.behave(&part.path(), part.behaviour());
        receiver.verify(&part.path(), secret)?;
        println!("  POST /v1/endpoints  {:<10}  {:<16}  {}", part.name, part.event_types.join(", "), part.story);
        created.push(Created { part, id });
    }
    Ok(created)
}
