//! `postrider listen`: a tenant's deliveries, posted to a port of this machine while developing.
//!
//! What is delivered elsewhere is posted here as well, signed anew with a secret of this machine's: the server needs
//! no way in, and its endpoints' secrets stay with it.

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use postrider_control::clock;
use postrider_domain::signing::{SigningSecret, signature_header};
use serde_json::Value;

use super::{print, tail::Follower};
use crate::{
    cli::{DeliveryFilter, Listen},
    failure::Failure,
    server_api::{ServerApi, with_query},
};

const POST_TIMEOUT: Duration = Duration::from_secs(30);

/// Posts deliveries as they go, until it is interrupted.
pub async fn run(arguments: Listen) -> Result<(), Failure> {
    let api = ServerApi::new(&arguments.server)?;
    let target = target(&arguments.forward_to);
    let secret = match &arguments.secret {
        Some(text) => SigningSecret::parse(text).context("--secret can't be used")?,
        None => SigningSecret::generate(&mut clock::rng()),
    };
    if arguments.secret.is_none() {
        eprintln!("Signed with {}", *secret.to_text());
    }
    eprintln!("Posting to {target} what is delivered from now on. Ctrl-C ends it.");
    let client = reqwest::Client::builder().timeout(POST_TIMEOUT).build().context("can't make an HTTP client")?;
    let filter = DeliveryFilter { endpoint: arguments.endpoint, event_type: None, status: None };
    let mut follower = Follower::new(filter);
    let mut posted = HashSet::new();
    loop {
        for delivery in follower.next(&api).await? {
            let text = |name: &str| print::cell(delivery.get(name));
            let (message, run) = (text("message_id"), text("run"));
            // Each once, however many attempts the server makes.
            if !posted.insert(format!("{message} {run}")) {
                continue;
            }
            let path = with_query(&format!("/v1/deliveries/{message}/payload"), &[("run", &run)]);
            let payload = api.get(&path).await?;
            let answer = post(&client, &target, &payload, &secret).await;
            println!("{message}  {}  {answer}", text("event_type"));
            if arguments.count == Some(posted.len()) {
                return Ok(());
            }
        }
    }
}

/// A port of this machine, or a whole URL.
fn target(given: &str) -> String {
    if given.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("http://127.0.0.1:{given}/")
    } else if given.contains("://") {
        given.to_owned()
    } else {
        format!("http://{given}")
    }
}

/// Posts one delivery. Answers what came of it, in words.
async fn post(client: &reqwest::Client, target: &str, payload: &Value, secret: &SigningSecret) -> String {
    let text = |name: &str| print::cell(payload.get(name));
    let Some(body) = body(payload) else { return "its payload can't be read".to_owned() };
    let (id, seconds) = (text("message_id"), clock::now().as_seconds());
    let signature = signature_header(std::slice::from_ref(secret), &id, seconds, &body);
    let request = client
        .post(target)
        .header("content-type", text("content_type"))
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature)
        .body(body);
    match request.send().await {
        Ok(answer) => answer.status().to_string(),
        Err(error) => format!("{:#}", anyhow::anyhow!(error.without_url())),
    }
}

/// The body, to the byte.
fn body(payload: &Value) -> Option<Vec<u8>> {
    let body = payload["body"].as_str()?;
    if payload["encoding"] == "base64" { BASE64_STANDARD.decode(body).ok() } else { Some(body.as_bytes().to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_of_this_machine() {
        assert_eq!(target("3000"), "http://127.0.0.1:3000/");
        assert_eq!(target("localhost:3000/hook"), "http://localhost:3000/hook");
        assert_eq!(target("https://dev.example/hook"), "https://dev.example/hook");
    }
}
